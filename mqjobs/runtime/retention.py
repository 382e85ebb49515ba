"""Retention: root jobs that ended long ago go, a few hundred at a time."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog

from mqjobs.model.status import JobStatus
from mqjobs.runtime.every import every, first_of
from mqjobs.store import cleanup
from mqjobs.store.cleanup import Removed
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.outages import patiently
from mqjobs.store.reconciling import take_turn

log = structlog.get_logger(__name__)

PAUSE = timedelta(milliseconds=200)


async def run_retention(
    store: JobStore,
    stop: asyncio.Event,
    *,
    interval: timedelta,
    kept_for: Mapping[JobStatus, timedelta],
) -> None:
    """Look after each interval until stopped, one of all consumers at a time. Dead letters stay, however old."""
    if not kept_for:
        await stop.wait()
    async for _ in every(interval, stop):
        await patiently("the retention", lambda: _sweep(store, stop, interval, kept_for))


async def _sweep(
    store: JobStore,
    stop: asyncio.Event,
    interval: timedelta,
    kept_for: Mapping[JobStatus, timedelta],
) -> None:
    async with store.pool.acquire() as connection:
        if not await take_turn(connection, "cleanup", interval):
            return
    removed = Removed()
    while not stop.is_set() and (batch := await _remove(store, kept_for)).roots:
        removed += batch
        await first_of(PAUSE, stop)
    if removed.roots:
        log.info(
            "cleaned_up",
            roots=removed.roots,
            children=removed.children,
            dependents=removed.dependents,
        )


async def _remove(store: JobStore, kept_for: Mapping[JobStatus, timedelta]) -> Removed:
    """Nothing is removed here while somebody else does it."""
    async with transaction(store.pool) as connection:
        if not await cleanup.have_to_myself(connection):
            return Removed()
        return await cleanup.remove_ended(connection, kept_for)
