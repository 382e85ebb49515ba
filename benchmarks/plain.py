"""Plain messages, taken from a full queue: body read, acted on, acknowledged."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.peer import contents, opened, publish_all
from benchmarks.place import BUSY, Place, consuming
from benchmarks.work import Note, NoteProcessor, Tally, bodies


async def mqjobs_plain(
    place: Place, size: int, settings: Mapping[str, Any] = BUSY
) -> dict[str, float]:
    """Messages that a consumer validates, hands to a processor and acknowledges."""
    tally = Tally(warm_up=size // 10, size=size)
    app = place.app(NoteProcessor(tally), settings=settings)
    async with app.open() as mq:
        await mq.producer.send_many(bodies(Note, size // 10 + size))
    async with consuming(app):
        return {"per second": await tally.per_second()}


async def peer_plain(place: Place, size: int) -> dict[str, float]:
    """Messages that a loop reads as JSON and acknowledges, each by itself."""
    tally = Tally(warm_up=size // 10, size=size)
    async with opened(place) as (channel, queue):
        await publish_all(channel.default_exchange, queue.name, contents(size // 10 + size))
        async with queue.iterator() as messages:
            async for message in messages:
                json.loads(message.body)
                await message.ack()
                if tally.count():
                    break
    return {"per second": await tally.per_second()}
