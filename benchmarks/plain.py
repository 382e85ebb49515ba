"""Plain messages, taken from a full queue: body read, acted on, acknowledged."""

from collections.abc import Mapping
from typing import Any

from benchmarks.place import BUSY, Place, consuming, warm_up
from benchmarks.work import Note, NoteProcessor, bodies


async def run(place: Place, size: int, settings: Mapping[str, Any] = BUSY) -> dict[str, float]:
    """Messages that a consumer validates, hands to a processor and acknowledges."""
    tally = place.tally(size)
    app = place.app(NoteProcessor(tally), settings=settings)
    async with app.open() as mq:
        await mq.producer.send_many(bodies(Note, warm_up(size) + size))
    async with consuming(app):
        return await tally.figures()
