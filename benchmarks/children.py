"""Delayed children of one root: created with their messages, claimed, run and finished."""

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from benchmarks.place import BUSY, OVER_POSTGRES, Place, consuming, outbox_is_empty
from benchmarks.work import PieceProcessor, Split, SplitProcessor, Tally

WARM_UP = 500


async def run(
    place: Place, size: int, settings: Mapping[str, Any] = BUSY, broker_url: str | None = None
) -> dict[str, float]:
    """Children whose messages wait in a full queue: each is claimed, run and finished, durably."""
    tally = Tally(warm_up=size // 10, size=size)
    split, piece = SplitProcessor(), PieceProcessor(tally)
    app = place.app(split, piece, settings=settings, broker_url=broker_url)
    async with app.open() as mq, consuming(app, [place.queue_of(split)]):
        await mq.producer.send(Split(number=1, children=size // 10 + size))
        await split.has_split.wait()
        if mq.transport.needs_relay:
            await outbox_is_empty(mq.database)
    async with consuming(app, [place.queue_of(piece)]):
        return {"per second": await tally.per_second()}


async def run_over_postgres(place: Place, size: int) -> dict[str, float]:
    """The same, with the message table for a queue."""
    return await run(place, size, broker_url=OVER_POSTGRES)


async def create(place: Place, size: int) -> dict[str, float]:
    """Children created with their messages, all by one call; nobody takes them yet."""
    split, piece = SplitProcessor(), PieceProcessor(Tally(warm_up=0, size=size))
    app = place.app(split, piece, broker_url=OVER_POSTGRES)
    async with app.open() as mq, consuming(app, [place.queue_of(split)]):
        await mq.producer.send(Split(number=1, warm_up=1000, children=size))
        await split.has_split.wait()
    return {"per second": split.per_second}


async def whole_life(place: Place, size: int, roots: int = 1) -> dict[str, float]:
    """What a child costs from the sending of its root to its end, with as many roots at once."""
    tally = Tally(warm_up=WARM_UP, size=size)
    app = place.app(SplitProcessor(), PieceProcessor(tally))
    async with app.open() as mq, consuming(app):
        await mq.producer.send(Split(number=0, children=WARM_UP))
        await tally.warm()
        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(1, roots + 1):
                group.create_task(mq.producer.send(Split(number=number, children=size // roots)))
        await tally.over()
        return {"ms each": (perf_counter() - began) * 1000 / size}
