"""Where one measurement works: a database of its own, and names of its own in the broker."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from benchmarks.tally import Profiler, Tally
from mqjobs import App, Processor, Settings
from mqjobs.app.logging import configure_logging
from mqjobs.app.opening import consumer
from mqjobs.store.database import Pool
from tests.support.amqp import Declared
from tests.support.databases import create_template, drop, url_of
from tests.support.waiting import eventually

OVER_POSTGRES = "postgres:"
CONCURRENCY = 100
PREFETCH = 200
PATIENCE = timedelta(minutes=5)

BUSY: Mapping[str, Any] = {"concurrency": CONCURRENCY, "prefetch": PREFETCH, "log_level": "warning"}
DEFAULTS: Mapping[str, Any] = {}


def warm_up(size: int) -> int:
    """How many pieces are done before the first that counts."""
    return max(1, size // 10)


@dataclass(frozen=True, slots=True)
class Place:
    """The servers, and what this measurement may use there."""

    database_url: str
    broker_url: str
    prefix: str = field(default_factory=lambda: f"bench{uuid4().hex[:8]}.")
    declared: Declared = field(default_factory=Declared)
    profiler: Profiler | None = None

    def tally(self, size: int) -> Tally:
        """A tally of so many pieces after a warm-up of a tenth as many; what follows that is profiled, if asked for."""
        return Tally(warm_up=warm_up(size), size=size, profiler=self.profiler)

    def queue(self, name: str) -> str:
        """The name of this measurement's own queue."""
        self.declared.queues.add(f"{self.prefix}{name}")
        return f"{self.prefix}{name}"

    def queue_of(self, processor: Processor) -> str:
        """The queue of such a processor."""
        return self.queue(type(processor).__name__)

    def app(
        self,
        *processors: Processor,
        settings: Mapping[str, Any] = BUSY,
        broker_url: str | None = None,
    ) -> App:
        """An app of these processors, each with a queue of its own, that logs as the daemon does, but to nowhere."""
        exchange = f"{self.prefix}mqjobs"
        self.declared.exchanges.add(exchange)
        chosen = Settings(
            database_url=self.database_url,
            broker_url=broker_url or self.broker_url,
            exchange=exchange,
            **settings,
        )
        configure_logging(chosen.log_level, "json", open(os.devnull, "w"))  # noqa: SIM115
        app = App(chosen)
        for processor in processors:
            processor.queue = self.queue_of(processor)
        app.subscribe(*processors)
        return app


@asynccontextmanager
async def own_place(
    database_server: str, broker_url: str, profiler: Profiler | None = None
) -> AsyncIterator[Place]:
    """A place with a fresh database; all of it is gone at the end."""
    name = await create_template(database_server)
    place = Place(url_of(database_server, name), broker_url, profiler=profiler)
    try:
        yield place
    finally:
        await place.declared.delete(broker_url)
        await drop(database_server, name)


@asynccontextmanager
async def consuming(app: App, queues: Sequence[str] = ()) -> AsyncIterator[None]:
    """A consumer of the app's queues, or of these, in this process until the block ends."""
    stop = asyncio.Event()
    async with (
        consumer(app.settings, app.registry, app.middleware, queues) as running,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(running.run(stop))
        try:
            yield
        finally:
            stop.set()


async def outbox_is_empty(database: Pool) -> None:
    """Returns when every message has been carried to the broker."""
    await eventually(
        lambda: database.fetchval("SELECT NOT EXISTS (SELECT FROM mqjobs.message)"),
        within=PATIENCE,
        what="an empty outbox",
    )
