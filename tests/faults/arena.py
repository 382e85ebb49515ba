"""The arena: servers of the run's own, a database in which ends are noted, consumers, and the ledger."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aio_pika
import asyncpg

from mqjobs.store.database import Connection
from tests.faults.app import QUEUE_VARIABLE, queues_of
from tests.faults.consumers import Consumers
from tests.faults.ledger import Ledger
from tests.faults.records import begin_records
from tests.faults.topics import HURRIED
from tests.faults.wires import Wires
from tests.support.amqp import Declared
from tests.support.databases import create_template, drop, url_of
from tests.support.servers import Broker, Postgres, ServerError
from tests.support.waiting import eventually
from tests.support.wire import Wire

OVER_POSTGRES = "postgres:"

PACE: Mapping[str, str] = {
    "MQJOBS_HEARTBEAT_INTERVAL": "0.5",
    "MQJOBS_DEAD_AFTER": "3",
    "MQJOBS_REAP_INTERVAL": "0.5",
    "MQJOBS_WATCH_INTERVAL": "0.3",
    "MQJOBS_RECONCILE_INTERVAL": "5",
    "MQJOBS_REDELIVERY_DELAY": "0.5",
    "MQJOBS_CRASHES_ALLOWED": "1000",
    "MQJOBS_CONCURRENCY": "10",
    "MQJOBS_POOL_SIZE": "4",
    "MQJOBS_GRACE": "15",
    "MQJOBS_TIME_BEFORE_STALE": f'{{"tree.{HURRIED}": 1.5, "default": -1}}',
    "MQJOBS_LOG_FORMAT": "json",
    "MQJOBS_LOG_LEVEL": "info",
}
"""Faster than the defaults, so that a short run sees many deaths found; no job fails because its consumers died."""


@dataclass
class Arena:
    """Where a run happens. A fault may end servers that are the run's own, and start them again."""

    name: str
    folder: Path
    ledger: Ledger
    consumers: Consumers
    database_url: str
    broker_url: str
    own_postgres: Postgres | None = None
    own_broker: Broker | None = None
    wires: Wires | None = None

    @property
    def postgres(self) -> Postgres:
        """The server, if it is the run's own; else a ServerError."""
        if self.own_postgres is None:
            raise ServerError("the PostgreSQL of this run is somebody else's")
        return self.own_postgres

    @property
    def broker(self) -> Broker:
        """The broker, if it is the run's own; else a ServerError."""
        if self.own_broker is None:
            raise ServerError("this run has no RabbitMQ of its own")
        return self.own_broker

    @property
    def database_wire(self) -> Wire:
        """What lies between the run's processes and the database, if the run is wired; else a ServerError."""
        return self._wired().database

    @property
    def broker_wire(self) -> Wire:
        """What lies between the run's processes and the broker, if the run is wired; else a ServerError."""
        return self._wired().broker

    def _wired(self) -> Wires:
        if self.wires is None:
            raise ServerError("this run is not wired")
        return self.wires

    @property
    def queues(self) -> list[str]:
        """Those of the load."""
        return list(queues_of(self.name))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """A connection to the database, for as long as the block."""
        connection = await asyncpg.connect(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def consuming(self, count: int, within: timedelta = timedelta(seconds=60)) -> None:
        """So many consumers have been started, and take messages."""
        for _ in range(count):
            self.consumers.start()
        await self.begun(within)

    async def begun(self, within: timedelta = timedelta(seconds=60)) -> None:
        """Consumers that live take messages; before that, a process does not even hear signals."""
        for process in self.consumers.living():
            await eventually(
                lambda process=process: process.wrote('"consuming"') or not process.lives,  # type: ignore[misc]
                within=within,
                what=f"{process.name} consuming",
            )

    async def waiting(self) -> int:
        """How many messages stand in the broker's queues; those in consumers' hands are not among them."""
        if self.broker_url == OVER_POSTGRES:
            return 0
        async with (
            await aio_pika.connect(self.broker_url) as connection,
            connection.channel() as channel,
        ):
            counts = [
                (await channel.declare_queue(name, passive=True)).declaration_result.message_count
                for name in self.queues
            ]
        return sum(count or 0 for count in counts)


@asynccontextmanager
async def arena(
    folder: Path,
    *,
    postgres: Postgres | str,
    broker: Broker | str,
    wires: Wires | None = None,
    **variables: str,
) -> AsyncIterator[Arena]:
    """An arena in this folder on a fresh database. A server may be given by its URL; then it is not to be ended."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    server_url = postgres if isinstance(postgres, str) else postgres.url
    broker_url = broker if isinstance(broker, str) else broker.url
    name = await create_template(server_url)
    database_url = url_of(server_url, name)
    ledger = Ledger(folder, "runner")
    settings = {
        **PACE,
        "MQJOBS_DATABASE_URL": database_url,
        "MQJOBS_BROKER_URL": broker_url,
        "MQJOBS_EXCHANGE": name,
        QUEUE_VARIABLE: name,
        **(wires.urls(database_url, broker_url) if wires else {}),
        **variables,
    }
    consumers = Consumers(folder, ledger, settings)
    made = Arena(
        name,
        folder,
        ledger,
        consumers,
        database_url,
        broker_url,
        None if isinstance(postgres, str) else postgres,
        None if isinstance(broker, str) else broker,
        wires,
    )
    try:
        async with made.connected() as connection:
            await begin_records(connection)
        yield made
    finally:
        await asyncio.to_thread(consumers.close)
        await drop(server_url, name)
        if broker_url != OVER_POSTGRES:
            await Declared(set(queues_of(name)), {name}).delete(broker_url)
