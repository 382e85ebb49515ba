"""Waiting for a condition, with a deadline, instead of sleeping."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from datetime import timedelta


async def eventually(
    condition: Callable[[], object | Awaitable[object]],
    *,
    within: timedelta = timedelta(seconds=15),
    what: str = "the condition",
) -> None:
    """Returns as soon as the condition is true; fails where it is not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within.total_seconds()
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return
        if loop.time() > deadline:
            raise AssertionError(f"{what} did not hold within {within.total_seconds():g} s")
        await asyncio.sleep(0.02)
