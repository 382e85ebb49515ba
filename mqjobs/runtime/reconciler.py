"""The reconciler: looks whether counters and children agree. It should find nothing."""

import asyncio
from datetime import timedelta

import structlog

from mqjobs.model.tally import Count
from mqjobs.runtime.every import every
from mqjobs.store import reconciling
from mqjobs.store.database import is_contention
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.outages import patiently
from mqjobs.store.reconciling import Page

log = structlog.get_logger(__name__)

QUIET_FOR = timedelta(minutes=1)
LATE = timedelta(minutes=5)
PAGE = 100
PAUSE = timedelta(milliseconds=50)


async def run_reconciler(
    store: JobStore, stop: asyncio.Event, *, interval: timedelta, needs_relay: bool
) -> None:
    """Look after each interval until stopped, at active roots in which nothing has happened for a minute.

    And into the outbox, where it needs a relay: where it is the queue, what waits there long may wait. Of all
    consumers one does it in each interval.
    """
    async for _ in every(interval, stop):
        if not await patiently("the reconciler", lambda: _take_turn(store, interval)):
            continue
        if needs_relay:
            await patiently("the reconciler", lambda: tell_overdue(store))
        await patiently("the reconciler", lambda: reconcile_quiet_roots(store))


async def reconcile_quiet_roots(store: JobStore, quiet_for: timedelta = QUIET_FOR) -> int:
    """One look at every such root; how many were repaired. Every repair is a warning.

    No root is locked but those that did not agree with their children when they were looked at.
    """
    repaired, after = 0, 0
    while page := await _look_at_page(store, quiet_for, after):
        for root_id in page.differing:
            repaired += await _reconcile(store, root_id)
        after = page.last_id
        await asyncio.sleep(PAUSE.total_seconds())
    return repaired


async def tell_overdue(store: JobStore) -> None:
    """A warning where messages in the outbox should have gone out long ago."""
    async with store.pool.acquire() as connection:
        late = await reconciling.overdue(connection, LATE)
    if late:
        log.warning("outbox_overdue", messages=late)


async def _take_turn(store: JobStore, interval: timedelta) -> bool:
    async with store.pool.acquire() as connection:
        return await reconciling.take_turn(connection, "reconcile", interval)


async def _look_at_page(store: JobStore, quiet_for: timedelta, after: int) -> Page | None:
    async with store.pool.acquire() as connection:
        return await reconciling.look_at_page(
            connection, quiet_for=quiet_for, after=after, limit=PAGE
        )


async def _reconcile(store: JobStore, root_id: int) -> bool:
    try:
        async with transaction(store.pool) as connection:
            repair = await reconciling.reconcile(connection, root_id)
    except Exception as error:
        if is_contention(error):  # somebody has it in hand: the next look finds it as he leaves it
            return False
        raise
    if repair is None:
        return False
    log.warning("reconciled", root_id=root_id, repair=repair)
    store.tally.add(Count.REPAIRS, kind=repair)
    return True
