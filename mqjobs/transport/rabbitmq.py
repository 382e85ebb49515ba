"""The way to RabbitMQ: the one file that knows its driver."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import aiormq
import structlog
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from pamqp.commands import Basic

from mqjobs.model.errors import BrokerUnavailable, ConfigurationError
from mqjobs.store.database import without_password
from mqjobs.transport.amqp_channel import (
    Arrival,
    DeclaredOtherwise,
    NotThere,
    Refused,
    Unwritable,
)
from mqjobs.transport.amqp_envelope import Received
from mqjobs.transport.amqp_transport import AmqpTransport, QueueType, version_of
from mqjobs.transport.background import in_background
from mqjobs.transport.lifeline import Lifeline

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 20
ATTEMPT_TIMEOUT = timedelta(seconds=10)
CONFIRM_TIMEOUT = timedelta(seconds=15)
CLOSE_TIMEOUT = timedelta(seconds=5)
PAUSE = timedelta(milliseconds=200)
LONGEST_PAUSE = timedelta(seconds=5)
BYTES_AROUND_A_HEADER = 6
BYTES_OF_OTHER_PROPERTIES = 2048


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
    outage = _Outage(without_password(url))
    connection = RabbitmqConnection(address, outage)
    version = await connection.open(connect_timeout)
    async with connection.kept():
        yield AmqpTransport(
            connection,
            lambda: RabbitmqConnection(address, outage),
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
    if "heartbeat" in parse_qs(parts.query):
        return url
    return f"{url}{'&' if parts.query else '?'}heartbeat={HEARTBEAT_SECONDS}"


class _Outage:
    """Says once that the broker is lost, and once that it is back, however many connections it had."""

    def __init__(self, at: str) -> None:
        self.at = at
        self._lost: set[object] = set()

    def begin(self, connection: object, error: str) -> None:
        if not self._lost:
            log.warning("broker_lost", at=self.at, error=error)
        self._lost.add(connection)

    def end(self, connection: object) -> None:
        if connection in self._lost:
            self._lost.discard(connection)
            if not self._lost:
                log.info("broker_back", at=self.at)

    def leave(self, connection: object) -> None:
        self._lost.discard(connection)


class RabbitmqConnection:
    """A connection to the broker that is made again whenever it is lost."""

    def __init__(self, url: str, outage: _Outage) -> None:
        self._url = url
        self._outage = outage
        self._connection: aiormq.Connection | None = None
        self._lifeline = Lifeline()
        self._is_there = asyncio.Event()

    async def open(self, connect_timeout: timedelta) -> tuple[int, ...]:
        """Connect for the first time; the broker's version."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + connect_timeout.total_seconds()
        told = False
        while True:
            left = timedelta(seconds=max(0, deadline - loop.time()))
            try:
                connection = await self._connect(min(left, ATTEMPT_TIMEOUT))
            except BrokerUnavailable as error:
                if loop.time() + PAUSE.total_seconds() >= deadline:
                    raise BrokerUnavailable(
                        f"no RabbitMQ at {self._outage.at} within "
                        f"{connect_timeout.total_seconds():g} s: {error}"
                    ) from None
                if not told:
                    log.warning("broker_awaited", at=self._outage.at, error=str(error))
                told = True
                await asyncio.sleep(PAUSE.total_seconds())
            else:
                self._set(connection)
                return version_of(str(connection.server_properties.get("version", "")))

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Connect, and connect again whenever the connection is lost, until the end of the block."""
        try:
            async with in_background(self._keep()):
                yield
        finally:
            self._outage.leave(self)
            if self._connection is not None:
                with suppress(BrokerUnavailable, Refused):
                    async with _driver(Lifeline(), CLOSE_TIMEOUT):
                        await self._connection.close()

    async def _keep(self) -> None:
        while True:
            if self._connection is None:
                self._set(await self._reconnect())
            self._outage.end(self)
            error = await self._end_of_connection()
            self._is_there.clear()
            self._connection = None
            self._outage.begin(self, error)

    def _set(self, connection: aiormq.Connection) -> None:
        self._connection = connection
        self._lifeline = lifeline = Lifeline()
        self._closing = connection.closing
        self._closing.add_done_callback(lambda _: lifeline.cut())
        self._is_there.set()

    async def _end_of_connection(self) -> str:
        ended = asyncio.Event()
        self._lifeline.when_cut(ended.set)
        await ended.wait()
        return "cut" if self._closing.cancelled() else str(self._closing.exception() or "closed")

    async def _reconnect(self) -> aiormq.Connection:
        pause = PAUSE
        while True:
            try:
                return await self._connect(ATTEMPT_TIMEOUT)
            except (BrokerUnavailable, ConfigurationError) as error:
                self._outage.begin(self, str(error))
            await asyncio.sleep(pause.total_seconds())
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connect(self, patience: timedelta) -> aiormq.Connection:
        try:
            async with _driver(Lifeline(), patience):
                return await aiormq.connect(
                    self._url, client_properties={"connection_name": "mqjobs"}
                )
        except Refused as error:
            raise ConfigurationError(
                f"RabbitMQ at {self._outage.at} refuses us: {error}; see MQJOBS_BROKER_URL"
            ) from None
        except BrokerUnavailable:
            raise
        except Exception as error:
            # Whatever it is that answers there, another try may find a broker.
            raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error

    async def is_there(self) -> None:
        """Returns as soon as there is a connection."""
        await self._is_there.wait()

    async def open_channel(self, *, confirms: bool = False) -> "RabbitmqChannel":
        """A new channel; BrokerUnavailable where there is no connection."""
        connection = self._connection
        if connection is None:
            raise BrokerUnavailable(f"no connection to RabbitMQ at {self._outage.at}")
        lifeline = self._lifeline
        async with _driver(lifeline):
            channel = await connection.channel(publisher_confirms=confirms, on_return_raises=False)
        return RabbitmqChannel(cast(aiormq.Channel, channel), lifeline.branch())

    @asynccontextmanager
    async def channel(self) -> AsyncIterator["RabbitmqChannel"]:
        """A new channel, until the end of the block; BrokerUnavailable where there is no connection."""
        channel = await self.open_channel()
        try:
            yield channel
        finally:
            await channel.close()


class RabbitmqChannel:
    """One channel of one connection; what is done on it raises BrokerUnavailable when it is gone."""

    def __init__(self, channel: aiormq.Channel, lifeline: Lifeline) -> None:
        self._channel = channel
        self._lifeline = lifeline
        channel.closing.add_done_callback(lambda _: lifeline.cut())

    @property
    def is_closed(self) -> bool:
        """Whether the channel is gone, for good."""
        return self._lifeline.is_cut

    def when_closed(self, tell: Callable[[], None]) -> None:
        """Tell when the channel is gone, now where it is gone already."""
        self._lifeline.when_cut(tell)

    async def close(self) -> None:
        """The channel is gone; what was sent on it before has reached the broker."""
        with suppress(BrokerUnavailable, Refused):
            async with _driver(self._lifeline, CLOSE_TIMEOUT):
                await self._channel.close()
        self._lifeline.cut()

    async def check_listening(self) -> None:
        """Raises BrokerUnavailable where the broker takes no messages for now."""
        async with _driver(self._lifeline):
            try:
                async with asyncio.timeout(0):
                    await self._channel.connection.ready()
            except TimeoutError:
                raise BrokerUnavailable(
                    "RabbitMQ is short of memory or disk and takes no messages"
                ) from None

    async def declare_exchange(self, exchange: str) -> None:
        """A durable direct exchange is there."""
        async with _driver(self._lifeline):
            await self._channel.exchange_declare(exchange, exchange_type="direct", durable=True)

    async def declare_queue(self, queue: str, arguments: Mapping[str, Any]) -> None:
        """A durable queue is there."""
        async with _driver(self._lifeline):
            await self._channel.queue_declare(queue, durable=True, arguments=dict(arguments))

    async def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """The queue gets what goes to the exchange under this key."""
        async with _driver(self._lifeline):
            await self._channel.queue_bind(queue, exchange, routing_key)

    async def count(self, queue: str) -> tuple[int, int]:
        """Messages that are ready, and consumers."""
        async with _driver(self._lifeline):
            found = await self._channel.queue_declare(queue, passive=True)
        return found.message_count or 0, found.consumer_count or 0

    async def purge(self, queue: str) -> int:
        """Throw away what is ready; how many those were."""
        async with _driver(self._lifeline):
            return (await self._channel.queue_purge(queue)).message_count or 0

    async def publish(
        self, exchange: str, routing_key: str, properties: Mapping[str, Any], body: bytes
    ) -> bool:
        """Whether a queue has the message: confirmed, or returned. Raises Unwritable before it is sent."""
        try:
            async with _driver(self._lifeline, CONFIRM_TIMEOUT):
                answer = await self._channel.basic_publish(
                    body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=self._writable(properties),
                    mandatory=True,
                    wait=False,
                )
        except (ValueError, TypeError, OverflowError, struct.error) as error:
            raise Unwritable(str(error)) from error
        return isinstance(answer, Basic.Ack)

    def _writable(self, properties: Mapping[str, Any]) -> Basic.Properties:
        headers: Mapping[str, object] = properties["headers"]
        size = sum(
            len(name.encode()) + len(str(value).encode()) + BYTES_AROUND_A_HEADER
            for name, value in headers.items()
        )
        # They travel in one frame, and the broker ends a connection that sends a larger one.
        largest = self._channel.connection.connection_tune.frame_max - BYTES_OF_OTHER_PROPERTIES
        if size > largest:
            raise ValueError(f"its headers have {size} bytes, {largest} are possible")
        return Basic.Properties(**properties)

    async def limit(self, prefetch: int) -> None:
        """Each consumer from now on has at most so many unacknowledged."""
        async with _driver(self._lifeline):
            await self._channel.basic_qos(prefetch_count=prefetch, global_=False)

    async def consume(
        self, queue: str, consumer_tag: str, deliver: Callable[[Arrival], None]
    ) -> None:
        """Deliver what comes, in order."""

        async def on_message(message: DeliveredMessage) -> None:
            deliver(_arrival_of(message, queue))

        async with _driver(self._lifeline):
            await self._channel.basic_consume(queue, on_message, consumer_tag=consumer_tag)

    def when_cancelled(self, tell: Callable[[str], None]) -> None:
        """Tell the tag of each consumer that the broker ends, for the queue is gone or else."""
        self._channel.on_consumer_cancel_callbacks.add(lambda frame: tell(str(frame.consumer_tag)))

    async def cancel(self, consumer_tag: str) -> None:
        """Nothing is delivered under this tag after this."""
        async with _driver(self._lifeline):
            await self._channel.basic_cancel(consumer_tag)

    async def ack(self, tag: int, *, multiple: bool = False) -> None:
        """The delivery is done, or all up to it."""
        async with _driver(self._lifeline):
            await self._channel.basic_ack(tag, multiple=multiple, wait=False)

    async def give_back(self, tag: int) -> None:
        """The delivery goes back to its queue."""
        async with _driver(self._lifeline):
            await self._channel.basic_nack(tag, requeue=True, wait=False)


def _arrival_of(message: DeliveredMessage, queue: str) -> Arrival:
    properties = message.header.properties
    return Arrival(
        Received(
            queue=queue,
            routing_key=message.routing_key or "",
            message_id=properties.message_id,
            type=properties.message_type,
            priority=properties.priority,
            timestamp=properties.timestamp,
            headers=properties.headers,
            body=message.body,
        ),
        tag=message.delivery_tag or 0,
        redelivered=bool(message.redelivered),
    )


@asynccontextmanager
async def _driver(lifeline: Lifeline, patience: timedelta | None = None) -> AsyncIterator[None]:
    """What the driver raises in the block becomes one of ours, and the block ends with the line."""
    try:
        async with lifeline.call(patience):
            yield
    except asyncio.CancelledError:
        # The driver cancels what waits on a connection that is gone; that is not the end of this task.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailable("the connection was cut") from None
    except (AMQPError, RuntimeError, OSError, StopAsyncIteration) as error:
        raise _meaning_of(error) from error


def _meaning_of(error: Exception) -> Refused | BrokerUnavailable:
    text = str(error) or repr(error)
    match error:
        case ChannelNotFoundEntity():
            return NotThere(text)
        case ChannelPreconditionFailed():
            return DeclaredOtherwise(text)
        case ChannelAccessRefused() | AuthenticationError() | ProbableAuthenticationError():
            return Refused(text)
        case InvalidFrameError() if "Connection.OpenOk" in text:
            return Refused("the virtual host is not there, or not open to this user")
    return BrokerUnavailable(text)
