"""The transport that the settings name, opened for those who need its broker and for those who can wait."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

from mqjobs.app.settings import Settings
from mqjobs.model.errors import ConfigurationError
from mqjobs.store.database import Pool, without_password
from mqjobs.transport.awaited import awaited
from mqjobs.transport.postgres import open_postgres
from mqjobs.transport.rabbitmq import open_rabbitmq
from mqjobs.transport.seam import Transport

WILLING_TO_WAIT = timedelta(seconds=2)


@asynccontextmanager
async def transport_of(
    settings: Settings, pool: Pool, *, patience: timedelta | None = None
) -> AsyncIterator[Transport]:
    """The transport that `broker_url` names. Raises ConfigurationError for another kind."""
    url = settings.broker_url
    if url is None or url.startswith("postgres:"):
        async with open_postgres(pool, patience=patience) as transport:
            yield transport
    elif has_broker(settings):
        async with open_rabbitmq(
            url,
            exchange=settings.exchange,
            queue_type=settings.queue_type,
            connect_timeout=settings.connect_timeout,
        ) as broker:
            yield broker
    else:
        raise ConfigurationError(
            f"MQJOBS_BROKER_URL {without_password(url)!r}: give amqp://…, amqps://… or postgres:"
        )


def patient_transport_of(settings: Settings, pool: Pool) -> AbstractAsyncContextManager[Transport]:
    """The same; while the database is away, what is published waits for it no longer than `connect_timeout`."""
    return transport_of(settings, pool, patience=settings.connect_timeout)


def willing_transport_of(settings: Settings, pool: Pool) -> AbstractAsyncContextManager[Transport]:
    """The same; a broker that is away does not keep the app from being opened, and may come later."""
    if not has_broker(settings):
        return patient_transport_of(settings, pool)
    wait = min(settings.connect_timeout, WILLING_TO_WAIT)
    return awaited(lambda: transport_of(settings, pool), at_most=wait)


def has_broker(settings: Settings) -> bool:
    """Whether the queues are in RabbitMQ."""
    return (settings.broker_url or "").startswith(("amqp://", "amqps://"))
