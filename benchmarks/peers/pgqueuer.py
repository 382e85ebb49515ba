"""pgqueuer with asyncpg: durable tables, its autovacuum settings, one queue manager on a connection of its own."""

import asyncio
import json
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from benchmarks.peers.aio_pika import contents
from benchmarks.place import CONCURRENCY, Place, warm_up

BATCH = CONCURRENCY
"""Its guide has larger batches for short jobs; several managers with smaller ones were slower."""


async def run(place: Place, size: int) -> dict[str, float]:
    """Jobs of a full table that an entrypoint takes and reads as JSON; what they came to is written in batches."""
    tally = place.tally(size)

    async def take(job: Any) -> None:
        json.loads(job.payload)
        tally.count()

    connection = await asyncpg.connect(place.database_url)
    try:
        driver = AsyncpgDriver(connection)
        await _fill(Queries(driver), contents(warm_up(size) + size))
        manager = PgQueuer(driver)
        manager.entrypoint("take")(take)
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run(batch_size=BATCH))
            figures = await tally.figures()
            manager.shutdown.set()
    finally:
        await connection.close()
    return figures


async def _fill(queries: Any, payloads: list[bytes]) -> None:
    await queries.install()
    await queries.optimize_autovacuum()
    await queries.enqueue(["take"] * len(payloads), payloads, [0] * len(payloads))
