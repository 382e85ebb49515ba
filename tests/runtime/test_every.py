"""The timed loop: at once, after each interval or when woken, until stopped."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta

import pytest

from mqjobs.runtime.every import ended_before, every, first_of

SOON = timedelta(milliseconds=1)
NEVER = timedelta(hours=1)
DEADLINE = 10


def tasks_of_others() -> set["asyncio.Task[object]"]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_the_first_turn_comes_at_once_and_others_after_the_interval() -> None:
    stop, turns = asyncio.Event(), 0

    async with asyncio.timeout(DEADLINE):
        async for _ in every(SOON, stop):
            turns += 1
            if turns == 3:
                stop.set()

    assert turns == 3


async def test_a_loop_that_is_stopped_before_it_begins_has_no_turn() -> None:
    stop = asyncio.Event()
    stop.set()

    assert [turn async for turn in every(SOON, stop)] == []


async def test_a_stop_is_heard_while_the_loop_waits() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)

    async with asyncio.timeout(DEADLINE):
        turns = [turn async for turn in every(NEVER, stop)]

    assert len(turns) == 1


async def test_a_wake_ends_the_wait() -> None:
    stop, wake, turns = asyncio.Event(), asyncio.Event(), 0
    asyncio.get_running_loop().call_later(0.01, wake.set)

    async with asyncio.timeout(DEADLINE):
        async for _ in every(NEVER, stop, wake):
            turns += 1
            if turns == 2:
                break

    assert turns == 2


async def test_a_wake_that_comes_during_a_turn_is_not_lost() -> None:
    stop, wake, turns = asyncio.Event(), asyncio.Event(), 0

    async with asyncio.timeout(DEADLINE):
        async for _ in every(NEVER, stop, wake):
            turns += 1
            if turns == 2:
                stop.set()
            wake.set()

    assert turns == 2


async def test_many_wakes_during_a_turn_are_one() -> None:
    stop, wake, turns = asyncio.Event(), asyncio.Event(), 0

    async with asyncio.timeout(DEADLINE):
        async for _ in every(NEVER, stop, wake):
            turns += 1
            if turns == 1:
                wake.set()
                wake.set()
                asyncio.get_running_loop().call_later(0.05, stop.set)

    assert turns == 2


async def test_an_error_of_a_turn_ends_the_loop_and_comes_out_as_itself() -> None:
    async def fail() -> None:
        async for _ in every(SOON, asyncio.Event()):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def test_waiting_leaves_no_task_behind_however_it_ends() -> None:
    before, is_set, is_not = tasks_of_others(), asyncio.Event(), asyncio.Event()
    is_set.set()

    await first_of(NEVER, is_set, is_not)
    await first_of(SOON, is_not)
    await cancelled(first_of(NEVER, is_not))

    assert tasks_of_others() == before


async def cancelled(waiting: Coroutine[object, object, None]) -> None:
    """Wait, but not for long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await waiting


async def test_work_is_ended_by_the_event_that_it_was_to_be_over_before() -> None:
    event = asyncio.Event()

    assert await ended_before(event, asyncio.sleep(0))
    event.set()
    async with asyncio.timeout(10):
        assert not await ended_before(event, asyncio.sleep(3600))
