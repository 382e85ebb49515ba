"""A snapshot: what it comes to, and that it travels as JSON."""

import pytest

from mqjobs.app.snapshot import Check, Phase, Snapshot

GOOD, BAD = Check(ok=True, says="connected"), Check(ok=False, says="not connected")


@pytest.mark.parametrize(
    ("snapshot", "is_ready"),
    [
        (Snapshot(phase=Phase.CONSUMING, checks={"broker": GOOD}), True),
        (Snapshot(phase=Phase.CONSUMING, checks={"broker": GOOD, "database": BAD}), False),
        (Snapshot(phase=Phase.STARTING, checks={"broker": GOOD}), False),
        (Snapshot(phase=Phase.DRAINING, checks={"broker": GOOD}), False),
    ],
)
def test_ready_is_who_consumes_and_finds_all_right(snapshot: Snapshot, is_ready: bool) -> None:
    assert snapshot.is_ready is is_ready


@pytest.mark.parametrize(
    ("snapshot", "status"),
    [
        (Snapshot(phase=Phase.CONSUMING, gauges={"running": 3}), "consuming, 3 running"),
        (Snapshot(phase=Phase.CONSUMING), "consuming"),
        (
            Snapshot(phase=Phase.CONSUMING, checks={"broker": BAD}, gauges={"running": 3}),
            "consuming; broker: not connected",
        ),
        (
            Snapshot(phase=Phase.DRAINING, checks={"broker": BAD}, gauges={"running": 3}),
            "draining, 3 running",
        ),
    ],
)
def test_the_status_is_one_line(snapshot: Snapshot, status: str) -> None:
    assert snapshot.status == status


def test_it_is_the_same_after_its_way_as_json() -> None:
    snapshot = Snapshot(
        phase=Phase.CONSUMING,
        checks={"broker": GOOD},
        gauges={"running": 3},
        counts=[("attempts", "done", 7)],
        measures=[("attempt_seconds", "done", 7, 0.25)],
    )

    assert Snapshot.model_validate(snapshot.model_dump(mode="json")) == snapshot
