"""The consumer daemon as a process: signals, and the line that says what it does."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from mqjobs.app.app import App
from mqjobs.store.database import without_password

log = structlog.get_logger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def consume(app: App, queues: Sequence[str] = ()) -> None:
    """Consume until the first SIGTERM or SIGINT, then drain; the second ends it at once with CancelledError."""
    settings = app.settings
    stop = asyncio.Event()
    with _signals(stop):
        async with app.consumer(queues) as running:
            log.info(
                "consuming",
                queues=list(running.queues),
                broker=without_password(settings.broker_url or "postgres:"),
                database=without_password(settings.database_url or "embedded:"),
                concurrency=settings.concurrency,
                prefetch=settings.prefetched,
                consumer_id=str(running.services.runs.consumer_id),
            )
            await running.run(stop)
            log.info("stopped")


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def heard() -> None:
        if stop.is_set() and task is not None:
            log.warning("stopping_at_once")
            task.cancel()
        else:
            log.info("draining")
            stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, heard)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
