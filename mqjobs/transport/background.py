"""Work that goes on beside a block of code, and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the work while the block runs; at its end, what still runs is cancelled and waited for.

    Where some of the work fails, the block is cancelled and the failure comes out of it. An error of
    the block comes out as it is.
    """
    raised: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            try:
                yield
            except Exception as error:
                raised = error
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None
    if raised is not None:
        raise raised


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a group of tasks: what a caller can name and handle."""
    first = failures.exceptions[0]
    return first_failure(first) if isinstance(first, BaseExceptionGroup) else first
