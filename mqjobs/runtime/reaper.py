"""The reaper: what dead consumers left running is run again."""

import asyncio
from datetime import timedelta

import structlog

from mqjobs.model.tally import Count, Tally
from mqjobs.runtime.every import ended_before, every
from mqjobs.store.consumers import Reaped, reap
from mqjobs.store.database import is_contention, is_outage
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.messages import database_now
from mqjobs.store.outages import patiently

log = structlog.get_logger(__name__)

AT_ONCE = 500


async def run_reaper(
    store: JobStore, stop: asyncio.Event, *, interval: timedelta, crashes_allowed: int
) -> None:
    """Reap after each interval until stopped. Every consumer does; rows in another's hand are passed over.

    While the database was away nobody could say that he lives: once it is back, all have an interval to say so.
    """
    async for _ in every(interval, stop):
        try:
            while await _reap(store, crashes_allowed) >= AT_ONCE and not stop.is_set():
                pass
        except Exception as error:
            if not is_outage(error):
                raise
            await ended_before(stop, patiently("the reaper", lambda: _reach(store)))


async def _reap(store: JobStore, crashes_allowed: int) -> int:
    """Where somebody has a job in hand and does not let it go, it waits alone."""
    try:
        reaped = await _reap_once(store, crashes_allowed)
    except Exception as error:
        if not is_contention(error):
            raise
        reaped = await _reap_once(store, crashes_allowed, only_free=True)
    if reaped.consumers or reaped.jobs:
        tell_reaped(reaped, store.tally)
        store.wake()
    return reaped.jobs


async def _reap_once(store: JobStore, crashes_allowed: int, *, only_free: bool = False) -> Reaped:
    async with transaction(store.pool) as connection:
        return await reap(
            connection, crashes_allowed=crashes_allowed, limit=AT_ONCE, only_free=only_free
        )


def tell_reaped(reaped: Reaped, tally: Tally) -> None:
    """A line and a count for what the dead left."""
    jobs = {
        "redelivered": reaped.redelivered,
        "failed": reaped.failed,
        "cancelled": reaped.cancelled,
    }
    log.warning("reaped", consumers=reaped.consumers, **jobs)
    for job_id in reaped.failed_jobs:
        log.error("job_failed", job_id=job_id, reason="crashed")
    for kind, count in jobs.items():
        if count:
            tally.add(Count.REAPED, count, kind=kind)


async def _reach(store: JobStore) -> None:
    async with store.pool.acquire() as connection:
        await database_now(connection)
