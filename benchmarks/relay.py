"""The way from the outbox into the broker: until everything is confirmed, and deleted."""

from time import perf_counter

from aio_pika import ExchangeType

from benchmarks.peer import contents, opened, publish_all
from benchmarks.place import Place, outbox_is_empty
from benchmarks.work import Note, NoteProcessor, Tally, bodies
from mqjobs.app.opening import OpenApp


async def mqjobs_relay(place: Place, size: int) -> dict[str, float]:
    """Committed messages that the relay publishes with confirms, and deletes."""
    app = place.app(NoteProcessor(Tally(warm_up=0, size=size)))
    async with app.open() as mq:
        await _relayed(mq, size // 10)
        return {"per second": size / await _relayed(mq, size)}


async def _relayed(mq: OpenApp, size: int) -> float:
    """How many seconds it took from the moment at which they were due."""
    async with mq.database.acquire() as connection, connection.transaction():
        await mq.producer.send_many(bodies(Note, size), connection=connection)
    began = perf_counter()
    await mq.producer.send(bodies(Note, 1)[0], delay=0.001)  # remembered, so that the relay wakes
    await outbox_is_empty(mq.database)
    return perf_counter() - began


async def peer_publish(place: Place, size: int) -> dict[str, float]:
    """Messages in memory that aio-pika publishes with confirms, 500 in flight."""
    async with opened(place) as (channel, queue):
        name = f"{place.prefix}mqjobs"
        place.declared.exchanges.add(name)
        exchange = await channel.declare_exchange(name, ExchangeType.DIRECT, durable=True)
        await queue.bind(exchange, Note.__topic__.name)
        await publish_all(exchange, Note.__topic__.name, contents(size // 10))
        notes = contents(size)
        began = perf_counter()
        await publish_all(exchange, Note.__topic__.name, notes)
        return {"per second": size / (perf_counter() - began)}
