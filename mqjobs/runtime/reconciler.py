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
PAGE = 100


async def run_reconciler(
    store: JobStore, stop: asyncio.Event, *, interval: timedelta, needs_relay: bool
) -> None:
    """Look after each interval until stopped, at active roots in which nothing has happened for a minute.

    And into the outbox, where it needs a relay: where it is the queue, what waits there long may wait.
    """
    async for _ in every(interval, stop):
        if needs_relay:
            await patiently("the reconciler", lambda: tell_overdue(store))
        await patiently("the reconciler", lambda: reconcile_quiet_roots(store))


async def reconcile_quiet_roots(store: JobStore, quiet_for: timedelta = QUIET_FOR) -> int:
    """One look at every such root; how many were repaired. Every repair is a warning."""
    repaired, after = 0, 0
    while root_ids := await _quiet_roots(store, quiet_for, after):
        for root_id in root_ids:
            repaired += await _reconcile(store, root_id)
        after = root_ids[-1]
    return repaired


async def tell_overdue(store: JobStore) -> None:
    """A warning where messages in the outbox should have gone out long ago."""
    async with store.pool.acquire() as connection:
        late = await reconciling.overdue(connection, LATE)
    if late:
        log.warning("outbox_overdue", messages=late)


async def _quiet_roots(store: JobStore, quiet_for: timedelta, after: int) -> list[int]:
    async with store.pool.acquire() as connection:
        return await reconciling.quiet_roots(
            connection, quiet_for=quiet_for, after=after, limit=PAGE
        )


async def _reconcile(store: JobStore, root_id: int) -> bool:
    async with transaction(store.pool) as connection:
        repair = await reconciling.reconcile(connection, root_id)
    if repair:
        log.warning("reconciled", root_id=root_id, repair=repair)
    return repair is not None
