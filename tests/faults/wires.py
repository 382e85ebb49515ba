"""The wires of a run: what lies between its processes and the servers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.faults.answers import split_amqp, split_postgres
from tests.support.surroundings import through
from tests.support.wire import Wire


@dataclass(frozen=True)
class Wires:
    """One to each server. They live in the loop that made them; the runner itself goes past them."""

    database: Wire
    broker: Wire

    @classmethod
    @asynccontextmanager
    async def to(cls, database_url: str, broker_url: str) -> AsyncIterator["Wires"]:
        """Wires to these servers, until the end of the block."""
        async with (
            Wire.to(database_url, split=split_postgres) as database,
            Wire.to(broker_url, split=split_amqp) as broker,
        ):
            yield cls(database, broker)

    def urls(self, database_url: str, broker_url: str) -> Mapping[str, str]:
        """The settings that lead to this database and broker through the wires."""
        broker = urlsplit(broker_url)
        if broker.netloc:
            broker = broker._replace(netloc=f"guest:guest@127.0.0.1:{self.broker.port}")
        return {
            # What a server says is told apart only without TLS.
            "MQJOBS_DATABASE_URL": f"{through(self.database, database_url)}?sslmode=disable",
            "MQJOBS_BROKER_URL": broker.geturl(),
        }
