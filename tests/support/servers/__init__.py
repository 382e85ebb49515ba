"""Private servers for tests and development: PostgreSQL and RabbitMQ, owned by who starts them."""

from tests.support.servers.broker import Broker, ServerError
from tests.support.servers.choice import (
    open_broker,
    open_private_broker,
    prepare_broker,
)
from tests.support.servers.postgres import Postgres, Speed

__all__ = [
    "Broker",
    "Postgres",
    "ServerError",
    "Speed",
    "open_broker",
    "open_private_broker",
    "prepare_broker",
]
