"""Unique single jobs, a root with its own child each, from a full queue."""

from benchmarks.place import Place, consuming, outbox_is_empty, warm_up
from benchmarks.work import Note, UniqueProcessor, Watched, WatchedProcessor, bodies


async def run(place: Place, size: int) -> dict[str, float]:
    """From a plain message: root and own child are created, claimed, run and finished, then it is acknowledged."""
    tally = place.tally(size)
    app = place.app(UniqueProcessor(tally))
    async with app.open() as mq:
        await mq.producer.send_many(bodies(Note, warm_up(size) + size))
    async with consuming(app):
        return await tally.figures()


async def run_born_with_message(place: Place, size: int) -> dict[str, float]:
    """From a message with which the root was born: claimed, run and finished, then acknowledged."""
    tally = place.tally(size)
    app = place.app(WatchedProcessor(tally))
    async with app.open() as mq:
        await mq.producer.send_many(bodies(Watched, warm_up(size) + size))
        await outbox_is_empty(mq.database)
    async with consuming(app):
        return await tally.figures()
