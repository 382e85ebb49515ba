"""Servers and databases for the tests; a server that cannot be had is a failure, never a skip."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from tests.support.amqp import Declared
from tests.support.databases import create_template, database, drop
from tests.support.servers import Broker, Postgres, Speed, open_broker


def pytest_configure() -> None:
    """A termination ends the run as Ctrl-C does, so that no server is left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers that its fixtures need."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "postgres_url" in fixtures:
            item.add_marker(pytest.mark.postgres)
        if "broker" in fixtures:
            item.add_marker(pytest.mark.rabbitmq)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server in which databases can be made; a given one with MQJOBS_TEST_DATABASE_URL."""
    if given := os.environ.get("MQJOBS_TEST_DATABASE_URL"):
        yield given
        return
    server = Postgres(Speed.FAST if os.environ.get("MQJOBS_TEST_FSYNC") == "off" else Speed.SAFE)
    try:
        server.start()
        yield server.url
    finally:
        server.remove()


@pytest.fixture(scope="session")
def database_template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated, empty database."""
    name = asyncio.run(create_template(postgres_url))
    yield name
    asyncio.run(drop(postgres_url, name))


@pytest.fixture
async def database_url(postgres_url: str, database_template: str) -> AsyncIterator[str]:
    """The URL of a migrated, empty database that this test has for itself."""
    async with database(postgres_url, database_template) as url:
        yield url


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """The broker that the tests share; who ends it, starts it again."""
    broker = open_broker()
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


@pytest.fixture(scope="session")
def amqp_url(broker: Broker) -> str:
    """The URL of the shared broker."""
    return broker.url


@pytest.fixture
async def amqp_declared(amqp_url: str) -> AsyncIterator[Declared]:
    """The names of what this test declares in the broker; they are deleted after it."""
    declared = Declared()
    yield declared
    await declared.delete(amqp_url)


@pytest.fixture
def amqp_prefix(amqp_declared: Declared) -> str:
    """What stands before the names of its queues and exchanges; amqp_declared is told of them."""
    return f"t{uuid4().hex[:10]}."
