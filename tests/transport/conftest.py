"""Both transports, each on a server of its own, for tests that are the same over both."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from mqjobs.store.database import open_pool
from mqjobs.transport.postgres import open_postgres
from mqjobs.transport.rabbitmq import open_rabbitmq
from mqjobs.transport.seam import Transport
from tests.support.amqp import Declared


@dataclass(frozen=True)
class Carrier:
    """A transport that can be opened, more than once, and the names that a test may use on it."""

    open: Callable[[], AbstractAsyncContextManager[Transport]]
    queue: Callable[[str], str]


@pytest.fixture
def postgres_carrier(database_url: str) -> Carrier:
    """The transport over a fresh database."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Transport]:
        async with (
            open_pool(database_url) as pool,
            open_postgres(pool, poll_interval=timedelta(milliseconds=50)) as transport,
        ):
            yield transport

    return Carrier(opened, lambda name: name)


@pytest.fixture
def rabbitmq_carrier(amqp_url: str, amqp_prefix: str, amqp_declared: Declared) -> Carrier:
    """The transport over the shared broker, under names of this test's own."""
    exchange = f"{amqp_prefix}mqjobs"
    amqp_declared.exchanges.add(exchange)

    def queue(name: str) -> str:
        amqp_declared.queues.add(f"{amqp_prefix}{name}")
        return f"{amqp_prefix}{name}"

    @asynccontextmanager
    async def opened() -> AsyncIterator[Transport]:
        async with open_rabbitmq(
            amqp_url, exchange=exchange, connect_timeout=timedelta(seconds=30)
        ) as transport:
            yield transport

    return Carrier(opened, queue)


@pytest.fixture(
    params=[
        pytest.param("postgres_carrier", id="postgres", marks=pytest.mark.postgres),
        pytest.param("rabbitmq_carrier", id="rabbitmq", marks=pytest.mark.rabbitmq),
    ]
)
def carrier(request: pytest.FixtureRequest) -> Carrier:
    """Each of the two in turn."""
    found: Carrier = request.getfixturevalue(request.param)
    return found
