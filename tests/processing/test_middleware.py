"""What wraps an attempt: in the order given, and the time limit innermost."""

import asyncio
from typing import Any

import pytest

from mqjobs.model.message import Message
from mqjobs.model.outcome import StopReason
from mqjobs.model.result import Result
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context
from mqjobs.processing.middleware import Middleware, Proceed, limit_time, wrapped
from tests.support.surroundings import Surroundings
from tests.support.topics import Note


class Quick(Topic, name="tests.quick", timeout=0.01):
    """Has to be quick."""


def noting(name: str, notes: list[str]) -> Middleware:
    async def middleware(message: Message[Any], context: Context, proceed: Proceed) -> Result:
        notes.append(f"{name} before")
        result = await proceed()
        notes.append(f"{name} after")
        return result

    return middleware


async def acknowledge(message: Message[Any], context: Context) -> Result:
    return Result.ACK


async def test_the_first_is_the_outermost(around: Surroundings) -> None:
    notes: list[str] = []
    process = wrapped(acknowledge, [noting("first", notes), noting("second", notes)])

    result = await process(around.message(Note()), around.context(around.attempt()))

    assert result is Result.ACK
    assert notes == ["first before", "second before", "second after", "first after"]


async def test_one_that_does_not_proceed_decides_alone(around: Surroundings) -> None:
    async def refusing(message: Message[Any], context: Context, proceed: Proceed) -> Result:
        return Result.REJECT

    async def never(message: Message[Any], context: Context) -> Result:
        raise AssertionError("it ran")

    process = wrapped(never, [refusing])

    assert await process(around.message(Note()), around.context(around.attempt())) is Result.REJECT


async def test_code_that_takes_longer_than_its_topic_allows_is_stopped(
    around: Surroundings,
) -> None:
    attempt = around.attempt()

    async def proceed() -> Result:
        await asyncio.Event().wait()
        return Result.ACK

    with attempt.running(), pytest.raises(asyncio.CancelledError):
        await limit_time(around.message(Quick()), around.context(attempt), proceed)

    assert attempt.stop_reason is StopReason.TIMED_OUT
    task = asyncio.current_task()
    assert task is not None
    assert task.uncancel() == 0


async def test_code_that_ends_in_time_is_never_stopped(around: Surroundings) -> None:
    attempt, later = around.attempt(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, later.set)

    async def proceed() -> Result:
        return Result.ACK

    with attempt.running():
        for body in (Quick(), Note()):
            await limit_time(around.message(body), around.context(attempt), proceed)
        await later.wait()

    assert attempt.stop_reason is None
