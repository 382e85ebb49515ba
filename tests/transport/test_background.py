"""Work beside a block ends with it, and either's error comes out plain."""

import asyncio

import pytest

from mqjobs.transport.background import in_background


async def test_the_work_ends_with_the_block() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with in_background(work()):
        await began.wait()
    assert ended.is_set()


async def test_an_error_of_the_block_comes_out_with_its_cause() -> None:
    cause = KeyError("cause")

    async def fail() -> None:
        async with in_background(asyncio.Event().wait()):  # type: ignore[arg-type]
            raise ValueError("block") from cause

    with pytest.raises(ValueError, match="block") as caught:
        await fail()
    assert caught.value.__cause__ is cause


async def test_an_error_of_the_work_ends_the_block() -> None:
    async def work() -> None:
        raise ValueError("work")

    async def run() -> None:
        async with in_background(work()):
            await asyncio.Event().wait()

    with pytest.raises(ValueError, match="work"):
        await run()


async def test_cancelling_the_block_cancels_the_work() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def run() -> None:
        async with in_background(work()):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await run()
    assert ended.is_set()


async def test_work_that_is_cancelled_by_another_is_missed_and_the_block_ends_with_it() -> None:
    """A driver does that to what waits on a connection that is gone; a group of tasks says nothing of it."""

    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled while it was needed"):
        async with asyncio.timeout(10), in_background(work()):
            await asyncio.Event().wait()
