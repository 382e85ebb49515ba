"""pgqueuer with asyncpg: durable tables, its autovacuum settings, a connection of its own for each queue manager."""

import asyncio
import json
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from benchmarks.peers.aio_pika import contents
from benchmarks.place import Place, warm_up

MANAGERS, BATCH = 5, 20
"""Managers in the one process, as its own benchmark has them, that together take as many jobs at once as the others."""


async def run(place: Place, size: int) -> dict[str, float]:
    """Jobs of a full table that an entrypoint takes and reads as JSON; what they came to is written in batches."""
    tally = place.tally(size)

    async def take(job: Any) -> None:
        json.loads(job.payload)
        tally.count()

    connections = [await asyncpg.connect(place.database_url) for _ in range(MANAGERS)]
    try:
        await _fill(Queries(AsyncpgDriver(connections[0])), contents(warm_up(size) + size))
        managers = [PgQueuer(AsyncpgDriver(connection)) for connection in connections]
        async with asyncio.TaskGroup() as group:
            for manager in managers:
                manager.entrypoint("take")(take)
                group.create_task(manager.run(batch_size=BATCH))
            per_second = await tally.per_second()
            for manager in managers:
                manager.shutdown.set()
    finally:
        for connection in connections:
            await connection.close()
    return {"per second": per_second}


async def _fill(queries: Any, payloads: list[bytes]) -> None:
    await queries.install()
    await queries.optimize_autovacuum()
    await queries.enqueue(["take"] * len(payloads), payloads, [0] * len(payloads))
