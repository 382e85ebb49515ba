"""aio-pika as its documentation shows it, with nothing around it: a loop over a queue, confirms that are awaited."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from time import perf_counter

from aio_pika import DeliveryMode, ExchangeType, Message, connect
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

from benchmarks.place import PREFETCH, Place, warm_up
from benchmarks.work import Note, bodies

IN_FLIGHT = 500


async def run(place: Place, size: int) -> dict[str, float]:
    """Messages that a loop reads as JSON and acknowledges, each by itself."""
    tally = place.tally(size)
    async with opened(place) as (channel, queue):
        notes = contents(warm_up(size) + size)
        await publish_all(channel.default_exchange, queue.name, notes)
        async with queue.iterator() as messages:
            async for message in messages:
                json.loads(message.body)
                await message.ack()
                if tally.count():
                    break
    return await tally.figures()


async def publish(place: Place, size: int) -> dict[str, float]:
    """Messages in memory that are published with confirms, 500 in flight."""
    async with opened(place) as (channel, queue):
        name = f"{place.prefix}mqjobs"
        place.declared.exchanges.add(name)
        exchange = await channel.declare_exchange(name, ExchangeType.DIRECT, durable=True)
        await queue.bind(exchange, Note.__topic__.name)
        await publish_all(exchange, Note.__topic__.name, contents(warm_up(size)))
        notes = contents(size)
        began = perf_counter()
        await publish_all(exchange, Note.__topic__.name, notes)
        return {"per second": size / (perf_counter() - began)}


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
