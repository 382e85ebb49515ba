"""The way from the outbox into the broker: until everything is confirmed, and deleted."""

from time import perf_counter

from benchmarks.place import Place, outbox_is_empty, warm_up
from benchmarks.work import Note, NoteProcessor, bodies
from mqjobs.app.opening import OpenApp


async def run(place: Place, size: int) -> dict[str, float]:
    """Committed messages that the relay publishes with confirms, and deletes."""
    app = place.app(NoteProcessor(place.tally(size)))
    async with app.open() as mq:
        await _relayed(mq, warm_up(size))
        return {"per second": size / await _relayed(mq, size)}


async def _relayed(mq: OpenApp, size: int) -> float:
    """How many seconds it took from the moment at which they were due."""
    async with mq.database.acquire() as connection, connection.transaction():
        await mq.producer.send_many(bodies(Note, size), connection=connection)
    began = perf_counter()
    await mq.producer.send(bodies(Note, 1)[0], delay=0.001)  # remembered, so that the relay wakes
    await outbox_is_empty(mq.database)
    return perf_counter() - began
