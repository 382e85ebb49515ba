"""dramatiq on RabbitMQ: its eight threads and its default middleware, with the prefetch of the others."""

import asyncio
import logging
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.place import PREFETCH, Place, warm_up
from benchmarks.tally import ThreadTally
from benchmarks.work import Note, bodies

THREADS = 8


async def run(place: Place, size: int) -> dict[str, float]:
    """Messages that an actor takes, in threads; the argument comes as it is in the JSON."""
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    tally = ThreadTally(warm_up=warm_up(size), size=size)

    def take(note: dict[str, Any]) -> None:
        tally.count()

    broker = RabbitmqBroker(url=place.broker_url)
    queue = place.queue("dramatiq")
    place.declared.queues.update({f"{queue}.DQ", f"{queue}.XQ"})
    actor = dramatiq.actor(take, broker=broker, queue_name=queue, actor_name="take")
    await asyncio.to_thread(_send_all, actor, warm_up(size) + size)
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    worker.queue_prefetch = PREFETCH  # what the variable dramatiq_queue_prefetch sets
    worker.start()
    try:
        return await tally.figures()
    finally:
        await asyncio.to_thread(worker.stop)
        broker.close()


def _send_all(actor: Any, count: int) -> None:
    for note in bodies(Note, count):
        actor.send(note.model_dump(mode="json"))
