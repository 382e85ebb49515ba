"""celery on RabbitMQ: one process that runs tasks itself (solo), a large prefetch, acknowledged after the task."""

import asyncio
import threading
from typing import Any

from celery import Celery
from celery.worker import state

from benchmarks.place import Place, warm_up
from benchmarks.tally import ThreadTally
from benchmarks.work import Note, bodies

STOP_SECONDS = 10
PREFETCH_MULTIPLIER = 128
"""What its guide names for lots of short tasks."""


async def run(place: Place, size: int) -> dict[str, float]:
    """Messages that a task takes; the argument comes as it is in the JSON, nobody asks for results."""
    tally = ThreadTally(warm_up=warm_up(size), size=size)

    def take(note: dict[str, Any]) -> None:
        tally.count()

    app = _app(place)
    task = app.task(take, name="take", ignore_result=True, acks_late=True)
    await asyncio.to_thread(_send_all, task, warm_up(size) + size)
    worker = app.WorkController(
        pool="solo", concurrency=1, loglevel="WARNING", without_gossip=True, without_mingle=True
    )
    thread = threading.Thread(target=worker.start, daemon=True)
    thread.start()
    try:
        return await tally.figures()
    finally:
        state.should_terminate = (
            0  # from another thread a worker is stopped by this, as by its own tests
        )
        await asyncio.to_thread(thread.join, STOP_SECONDS)


def _app(place: Place) -> Any:
    queue = place.queue("celery")
    place.declared.exchanges.add(queue)
    app = Celery("bench", broker=place.broker_url, set_as_current=False)
    app.conf.update(
        task_default_queue=queue,
        worker_prefetch_multiplier=PREFETCH_MULTIPLIER,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
    )
    return app


def _send_all(task: Any, count: int) -> None:
    for note in bodies(Note, count):
        task.delay(note.model_dump(mode="json"))
