"""The database's clock, read off a monotonic one."""

from datetime import UTC, datetime, timedelta

from mqjobs.store.clock import DatabaseClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_the_clock_goes_on_from_what_the_database_said() -> None:
    ticks = iter([100.0, 100.0, 160.5])
    clock = DatabaseClock(NOON, lambda: next(ticks))

    assert clock.now() == NOON
    assert clock.now() == NOON + timedelta(seconds=60.5)


def test_every_reading_sets_it_right() -> None:
    ticks = iter([0.0, 100.0, 101.0])
    clock = DatabaseClock(NOON, lambda: next(ticks))

    clock.set(NOON + timedelta(hours=1))

    assert clock.now() == NOON + timedelta(hours=1, seconds=1)
