"""Work that goes on beside a block of code, and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the work while the block runs; at its end, what still runs is cancelled and waited for.

    Where some of the work fails, the block is cancelled and the failure comes out of it; so it is where a driver
    cancels some of it. An error of the block comes out as it is.
    """
    raised: Exception | None = None
    over = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_missed(one, over)) for one in work]
            try:
                yield
            except Exception as error:
                raised = error
            finally:
                over.set()
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None
    finally:
        for one in work:
            one.close()  # one that was cancelled before it began
    if raised is not None:
        raise raised


async def _missed(work: Coroutine[Any, Any, None], over: asyncio.Event) -> None:
    """A group of tasks takes no notice of one that is cancelled, whoever did it."""
    try:
        await work
    except asyncio.CancelledError as error:
        if over.is_set():
            raise
        raise RuntimeError(f"cancelled while it was needed: {work!r}") from error


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a group of tasks: what a caller can name and handle."""
    first = failures.exceptions[0]
    return first_failure(first) if isinstance(first, BaseExceptionGroup) else first
