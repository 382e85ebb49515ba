"""RabbitMQ, opened: from its address to the transport."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from mqjobs.model.errors import ConfigurationError
from mqjobs.store.certificates import require_files
from mqjobs.transport.rabbitmq.connection import Connection
from mqjobs.transport.rabbitmq.transport import AmqpTransport, QueueType

HEARTBEAT_SECONDS = 10
FILES = ("cafile", "certfile", "keyfile")


@asynccontextmanager
async def open_rabbitmq(
    url: str,
    *,
    exchange: str = "mqjobs",
    queue_type: QueueType = "auto",
    connect_timeout: timedelta,
) -> AsyncIterator[AmqpTransport]:
    """The transport over this broker; waits for it as long as `connect_timeout`.

    Raises BrokerUnavailable where it does not come, ConfigurationError where it refuses user, password or
    virtual host. One connection carries what is published, and one each inbox: a broker that is short of
    memory stops listening to those who publish, and must still hear acknowledgements.
    """
    address = _readable(url)
    connection = Connection(address)
    version = await connection.open(connect_timeout)
    async with connection.kept():
        yield AmqpTransport(
            connection,
            lambda: Connection(address),
            exchange=exchange,
            queue_type=queue_type,
            version=version,
        )


def _readable(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_readable = parts.scheme in ("amqp", "amqps") and parts.hostname and parts.port != 0
    except ValueError:
        is_readable = False
    if not is_readable:
        raise ConfigurationError(
            "MQJOBS_BROKER_URL cannot be read: amqp://user:password@host:port/ is expected"
        )
    require_files("MQJOBS_BROKER_URL", url, FILES)
    if "heartbeat" in parse_qs(parts.query):
        return url
    return f"{url}{'&' if parts.query else '?'}heartbeat={HEARTBEAT_SECONDS}"
