"""Servers of the fault tests alone: they come to harm."""

from collections.abc import Iterator

import pytest

from tests.support.servers import Broker, Postgres, open_private_broker


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[Postgres]:
    """A server that is ended and started again; every test leaves it whole."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def own_broker() -> Iterator[Broker]:
    """A broker that is ended and started again; every test leaves it whole."""
    broker = open_private_broker()
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()
