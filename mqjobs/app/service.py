"""The consumer daemon as a process: from the first order to the last line that it writes."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from mqjobs.app.app import App
from mqjobs.app.orders import Orders
from mqjobs.app.settings import Settings
from mqjobs.runtime.consumer import Consumer
from mqjobs.store.database import without_password

log = structlog.get_logger(__name__)


async def consume(app: App, queues: Sequence[str] = ()) -> None:
    """Consume until told to drain or until a limit is reached; told to stop at once, end with CancelledError."""
    task = asyncio.current_task()
    assert task is not None
    orders = Orders(task.cancel)
    with orders.heard(), _unless_drained(orders) as opening:
        async with app.consumer(queues) as running:
            opening.is_over = True
            _tell(running, app.settings)
            await running.run(orders.drain)
            log.info("stopped")


class _Opening:
    is_over = False


@contextmanager
def _unless_drained(orders: Orders) -> Iterator[_Opening]:
    """Who waits for a server that is away waits no longer when he is told to drain: nothing runs yet."""
    task = asyncio.current_task()
    assert task is not None
    opening = _Opening()
    was_left = False

    def leave() -> None:
        nonlocal was_left
        if not opening.is_over:
            was_left = True
            task.cancel()

    orders.when_draining(leave)
    try:
        yield opening
    except asyncio.CancelledError:
        if not was_left or orders.at_once.is_set():
            raise
        task.uncancel()
        log.info("stopped")


def _tell(running: Consumer, settings: Settings) -> None:
    log.info(
        "consuming",
        queues=list(running.queues),
        broker=without_password(settings.broker_url or "postgres:"),
        database=without_password(settings.database_url or "embedded:"),
        concurrency=settings.concurrency,
        prefetch=settings.prefetched,
        consumer_id=str(running.services.runs.consumer_id),
    )
