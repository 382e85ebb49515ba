"""taskiq with taskiq-aio-pika: so many tasks at a time, the rest of the prefetch waiting, acknowledged when run."""

import asyncio
from typing import Any

from taskiq.acks import AcknowledgeType
from taskiq.api import run_receiver_task
from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.exchange import Exchange
from taskiq_aio_pika.queue import Queue, QueueType

from benchmarks.peers.aio_pika import IN_FLIGHT
from benchmarks.place import CONCURRENCY, PREFETCH, Place, warm_up
from benchmarks.work import Note, bodies


async def run(place: Place, size: int) -> dict[str, float]:
    """Messages that tasks take; the argument is read as a model, nobody asks for results."""
    tally = place.tally(size)

    async def take(note: Note) -> None:
        tally.count()

    broker = _broker(place)
    task = broker.register_task(take, task_name="take")
    broker.is_worker_process = True
    await broker.startup()
    try:
        await _send_all(task, warm_up(size) + size)
        async with asyncio.TaskGroup() as group:
            receiver = group.create_task(
                run_receiver_task(
                    broker,
                    max_async_tasks=CONCURRENCY,
                    max_prefetch=PREFETCH - CONCURRENCY,
                    ack_time=AcknowledgeType.WHEN_EXECUTED,
                )
            )
            figures = await tally.figures()
            receiver.cancel()
    finally:
        await broker.shutdown()
    return figures


def _broker(place: Place) -> Any:
    exchange = f"{place.prefix}taskiq"
    place.declared.exchanges.add(exchange)
    return AioPikaBroker(
        place.broker_url,
        qos=PREFETCH,
        exchange=Exchange(name=exchange),
        task_queues=[Queue(name=place.queue("taskiq"), type=QueueType.CLASSIC)],
        dead_letter_queue=Queue(name=place.queue("dead"), type=QueueType.CLASSIC),
    )


async def _send_all(task: Any, count: int) -> None:
    left = iter(bodies(Note, count))

    async def send_next() -> None:
        for note in left:
            await task.kiq(note)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(send_next())
