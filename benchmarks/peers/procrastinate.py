"""procrastinate with psycopg: one worker of as many jobs at once as the others, over a pool of connections."""

import asyncio
import logging
from typing import Any

from procrastinate import App, PsycopgConnector

from benchmarks.place import CONCURRENCY, Place, warm_up
from benchmarks.work import Note, bodies

CONNECTIONS = 20


async def run(place: Place, size: int) -> dict[str, float]:
    """Jobs of a full table that a task takes as JSON; each is fetched and finished by itself."""
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    tally = place.tally(size)

    async def take(note: dict[str, Any]) -> None:
        tally.count()

    app = App(connector=PsycopgConnector(conninfo=place.database_url, max_size=CONNECTIONS))
    task = app.task(take, name="take")
    notes = [note.model_dump(mode="json") for note in bodies(Note, warm_up(size) + size)]
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await task.batch_defer_async(*({"note": note} for note in notes))
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(
                app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)
            )
            figures = await tally.figures()
            worker.cancel()
    return figures
