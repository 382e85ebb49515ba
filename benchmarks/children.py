"""Delayed children of one root: created with their messages, claimed, run and finished."""

from collections.abc import Mapping
from typing import Any

from benchmarks.place import BUSY, OVER_POSTGRES, Place, consuming, outbox_is_empty, warm_up
from benchmarks.work import PieceProcessor, Split, SplitProcessor
from mqjobs import App


async def run(
    place: Place, size: int, settings: Mapping[str, Any] = BUSY, broker_url: str | None = None
) -> dict[str, float]:
    """Children whose messages wait in a full queue: each is claimed, run and finished, durably."""
    tally = place.tally(size)
    split, piece = SplitProcessor(), PieceProcessor(tally)
    app = place.app(split, piece, settings=settings, broker_url=broker_url)
    await fill(place, app, split, warm_up(size) + size)
    async with consuming(app, [place.queue_of(piece)]):
        return await tally.figures()


async def fill(place: Place, app: App, split: SplitProcessor, children: int) -> None:
    """Returns when one root has so many children, and their messages are in the queue."""
    async with app.open() as mq, consuming(app, [place.queue_of(split)]):
        await mq.producer.send(Split(number=1, children=children))
        await split.has_split.wait()
        if mq.transport.needs_relay:
            await outbox_is_empty(mq.database)


async def run_over_postgres(place: Place, size: int) -> dict[str, float]:
    """The same, with the message table for a queue."""
    return await run(place, size, broker_url=OVER_POSTGRES)


async def create(place: Place, size: int) -> dict[str, float]:
    """Children created with their messages, all by one call; nobody takes them yet."""
    split, piece = SplitProcessor(), PieceProcessor(place.tally(size))
    app = place.app(split, piece, broker_url=OVER_POSTGRES)
    async with app.open() as mq, consuming(app, [place.queue_of(split)]):
        await mq.producer.send(Split(number=1, warm_up=min(1000, size), children=size))
        await split.has_split.wait()
    return {"per second": split.per_second}
