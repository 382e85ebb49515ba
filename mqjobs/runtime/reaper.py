"""The reaper: what dead consumers left running is run again."""

import asyncio
from datetime import timedelta

import structlog

from mqjobs.runtime.every import every
from mqjobs.store.consumers import reap
from mqjobs.store.database import is_outage
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.messages import database_now
from mqjobs.store.outages import patiently

log = structlog.get_logger(__name__)


async def run_reaper(
    store: JobStore, stop: asyncio.Event, *, interval: timedelta, crashes_allowed: int
) -> None:
    """Reap after each interval until stopped. Every consumer does; rows in another's hand are passed over.

    While the database was away nobody could say that he lives: once it is back, all have an interval to say so.
    """
    async for _ in every(interval, stop):
        try:
            await _reap(store, crashes_allowed)
        except Exception as error:
            if not is_outage(error):
                raise
            await patiently("the reaper", lambda: _reach(store))


async def _reap(store: JobStore, crashes_allowed: int) -> None:
    async with transaction(store.pool) as connection:
        reaped = await reap(connection, crashes_allowed=crashes_allowed)
    if reaped.consumers or reaped.redelivered or reaped.failed or reaped.cancelled:
        log.warning(
            "reaped",
            consumers=reaped.consumers,
            redelivered=reaped.redelivered,
            failed=reaped.failed,
            cancelled=reaped.cancelled,
        )
        store.wake()


async def _reach(store: JobStore) -> None:
    async with store.pool.acquire() as connection:
        await database_now(connection)
