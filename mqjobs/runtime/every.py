"""The one shape of a timed loop: `async for _ in every(interval, stop)`."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from typing import Any


async def every(
    interval: timedelta, stop: asyncio.Event, wake: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """At once, then after each interval or as soon as woken, until stopped."""
    while not stop.is_set():
        if wake is not None:
            wake.clear()
        yield
        await first_of(interval, stop, *([wake] if wake else []))


async def ended_before(event: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Whether the work has come to its end before the event was set; if not, it is cancelled."""
    async with asyncio.TaskGroup() as group:
        task, wait = group.create_task(work), group.create_task(event.wait())
        await asyncio.wait([task, wait], return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        wait.cancel()
    return not task.cancelled()


async def first_of(at_most: timedelta, *events: asyncio.Event) -> None:
    """Return when one of these is set, or when the time is over."""
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(event.wait()) for event in events]
        await asyncio.wait(
            waits, timeout=at_most.total_seconds(), return_when=asyncio.FIRST_COMPLETED
        )
        for wait in waits:
            wait.cancel()
