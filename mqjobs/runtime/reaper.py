"""The reaper: what dead consumers left running is run again."""

import asyncio
from datetime import timedelta

import structlog

from mqjobs.runtime.every import every
from mqjobs.store.consumers import Reaped, reap
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.outages import patiently

log = structlog.get_logger(__name__)


async def run_reaper(
    store: JobStore, stop: asyncio.Event, *, interval: timedelta, crashes_allowed: int
) -> None:
    """Reap after each interval until stopped. Every consumer does; rows in another's hand are passed over."""

    async def once() -> Reaped:
        async with transaction(store.pool) as connection:
            return await reap(connection, crashes_allowed=crashes_allowed)

    async for _ in every(interval, stop):
        reaped = await patiently("the reaper", once)
        if reaped.consumers or reaped.redelivered or reaped.failed or reaped.cancelled:
            log.warning(
                "reaped",
                consumers=reaped.consumers,
                redelivered=reaped.redelivered,
                failed=reaped.failed,
                cancelled=reaped.cancelled,
            )
            store.wake()
