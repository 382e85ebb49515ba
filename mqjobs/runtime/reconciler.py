"""The reconciler: looks whether counters and children agree. It should find nothing."""

import asyncio
from datetime import timedelta

import structlog

from mqjobs.runtime.every import every
from mqjobs.store import reconciling
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.outages import patiently

log = structlog.get_logger(__name__)

QUIET_FOR = timedelta(minutes=1)
LATE = timedelta(minutes=5)


async def run_reconciler(store: JobStore, stop: asyncio.Event, *, interval: timedelta) -> None:
    """Look after each interval until stopped, at active roots in which nothing has happened for a minute."""
    async for _ in every(interval, stop):
        await patiently("the reconciler", lambda: reconcile_quiet_roots(store))


async def reconcile_quiet_roots(store: JobStore, quiet_for: timedelta = QUIET_FOR) -> int:
    """One look; how many roots were repaired. Every repair is a warning."""
    async with store.pool.acquire() as connection:
        root_ids = await reconciling.quiet_roots(connection, quiet_for=quiet_for)
        late = await reconciling.overdue(connection, LATE)
    if late:
        log.warning("outbox_overdue", messages=late)
    repaired = 0
    for root_id in root_ids:
        async with transaction(store.pool) as connection:
            repair = await reconciling.reconcile(connection, root_id)
        if repair:
            repaired += 1
            log.warning("reconciled", root_id=root_id, repair=repair)
    return repaired
