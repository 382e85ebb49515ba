"""The peer: aio-pika as its documentation shows it, with nothing around it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aio_pika import DeliveryMode, Message, connect
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

from benchmarks.place import PREFETCH, Place
from benchmarks.work import Note, bodies

IN_FLIGHT = 500


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[tuple[AbstractChannel, AbstractQueue]]:
    """A channel with confirms and a prefetch, and a durable queue."""
    async with await connect(place.broker_url) as connection, connection.channel() as channel:
        await channel.set_qos(prefetch_count=PREFETCH)
        yield channel, await channel.declare_queue(place.queue("peer"), durable=True)


async def publish_all(
    exchange: AbstractExchange, routing_key: str, contents: Iterable[bytes]
) -> None:
    """All of them are confirmed by the broker; as many are in flight as may be."""
    left = iter(contents)

    async def publish_next() -> None:
        for content in left:
            await exchange.publish(message_of(content), routing_key)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(publish_next())


def message_of(content: bytes) -> Message:
    """A message that the broker keeps on disk."""
    return Message(content, content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT)


def contents(count: int) -> list[bytes]:
    """The same JSON that mqjobs sends."""
    return [note.model_dump_json().encode() for note in bodies(Note, count)]
