"""Waiting for a server that is away: as long as patience lasts, and with two lines."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.store.database import open_pool, this_try
from mqjobs.store.job_store import transaction
from mqjobs.store.outages import database_outage, patiently
from tests.support.surroundings import through
from tests.support.waiting import eventually
from tests.support.wire import Wire


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """An act that raises these in turn and then answers."""
    left = list(errors)

    async def act() -> str:
        if left:
            raise left.pop(0)
        return "written"

    return act


def events(lines: Sequence[Any]) -> list[str]:
    """What the lines are about."""
    return [line["event"] for line in lines]


async def test_what_works_is_answered_without_a_word() -> None:
    with capture_logs() as lines:
        assert await patiently("a note", failing()) == "written"

    assert lines == []


async def test_while_the_database_is_away_it_is_tried_again_with_one_line_for_each_end() -> None:
    with capture_logs() as lines:
        assert await patiently("a note", failing(OSError("gone"), TimeoutError())) == "written"
        await eventually(lambda: "database_back" in events(lines))

    assert events(lines) == ["database_away", "database_back"]
    assert (lines[0]["waiting"], lines[0]["error"]) == ("a note", "gone")


async def test_an_outage_is_told_once_however_many_wait_for_its_end() -> None:
    with capture_logs() as lines:
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(patiently(f"{number}", failing(*[OSError("gone")] * number)))
        await patiently("one that notices late", failing(OSError("gone")))
        await eventually(lambda: "database_back" in events(lines))

    assert events(lines) == ["database_away", "database_back"]


async def test_the_next_outage_is_told_again() -> None:
    with capture_logs() as lines:
        for _ in range(2):
            lines.clear()
            await patiently("a note", failing(OSError("gone")))
            await eventually(lambda: events(lines) == ["database_away", "database_back"])


async def test_an_outage_ends_with_the_next_answer_though_all_who_waited_have_given_up() -> None:
    with capture_logs() as lines:
        database_outage().begin("another")
        database_outage().leave("another")
        await patiently("a note", failing())
        await eventually(lambda: events(lines) == ["database_away", "database_back"])


async def test_two_transactions_that_met_are_no_outage() -> None:
    errors = (asyncpg.DeadlockDetectedError("met"), asyncpg.LockNotAvailableError("held"))
    with capture_logs() as lines:
        assert await patiently("a note", failing(*errors)) == "written"

    assert lines == []


async def test_an_outage_without_a_text_is_named_by_its_type() -> None:
    with capture_logs() as lines:
        await patiently("a note", failing(TimeoutError()))

    assert lines[0]["error"] == "TimeoutError"


async def test_a_try_that_was_cut_off_is_followed_by_a_longer_one() -> None:
    longer = list[int]()

    async def act() -> None:
        current = this_try.get()
        assert current is not None
        longer.append(current.longer)
        if len(longer) < 4:
            current.was_cut = len(longer) != 2
            raise OSError("cut")

    with capture_logs() as lines:
        await patiently("a note", act)

    assert longer == [1, 2, 2, 4]
    assert lines[0]["error"] == "no answer in time"


async def test_patience_that_is_over_says_what_was_not_written() -> None:
    with pytest.raises(
        DatabaseUnavailable, match="PostgreSQL is away, a note was not written: gone"
    ):
        await patiently("a note", failing(OSError("gone")), patience=timedelta(0))


async def test_patience_with_what_others_have_locked_says_so() -> None:
    with pytest.raises(DatabaseUnavailable, match="PostgreSQL has rows locked, a note was not"):
        await patiently(
            "a note", failing(asyncpg.LockNotAvailableError("timeout")), patience=timedelta(0)
        )


async def test_an_error_that_is_no_outage_comes_out_at_once() -> None:
    with pytest.raises(ValueError, match="wrong"):
        await patiently("a note", failing(ValueError("wrong")))


async def test_who_is_cancelled_while_the_server_is_silent_waits_no_longer(
    database_url: str,
) -> None:
    """The driver rolls back first, finds the connection gone, and tells of that instead of the cancellation."""
    tries = list[int]()
    async with Wire.to(database_url) as wire:
        url = f"{through(wire, database_url)}?sslmode=disable"
        async with open_pool(url, size=1, held_at_most=timedelta(seconds=1)) as pool:

            async def ask() -> None:
                tries.append(1)
                async with transaction(pool) as connection:
                    wire.is_silent = True
                    await connection.execute("SELECT 1")

            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(patiently("a question", ask))
                await eventually(lambda: wire.is_silent)
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting], timeout=8)
                has_ended = waiting.done()
                wire.mend()
                waiting.cancel()

    assert has_ended
    assert tries == [1]
