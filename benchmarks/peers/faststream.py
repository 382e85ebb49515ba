"""FastStream on RabbitMQ: a prefetch on its channel, no logger, acknowledged after the handler, the body a model."""

from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from benchmarks.peers.aio_pika import contents, opened, publish_all
from benchmarks.place import PREFETCH, Place, warm_up
from benchmarks.work import Note


async def run(place: Place, size: int) -> dict[str, float]:
    """Messages that a subscriber's handler takes; each delivery is a task of its own, as many as are prefetched."""
    tally = place.tally(size)

    async def take(note: Note) -> None:
        tally.count()

    async with opened(place) as (channel, queue):
        notes = contents(warm_up(size) + size)
        await publish_all(channel.default_exchange, queue.name, notes)
    broker = RabbitBroker(
        place.broker_url, logger=None, default_channel=Channel(prefetch_count=PREFETCH)
    )
    broker.subscriber(RabbitQueue(queue.name, durable=True), no_reply=True)(take)
    async with broker:
        await broker.start()
        return await tally.figures()
