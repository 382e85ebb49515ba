"""The connection to RabbitMQ, made again whenever it is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import cast

import aio_pika
import aiormq
import aiormq.abc
import structlog
from aio_pika.abc import AbstractConnection

from mqjobs.model.errors import BrokerUnavailable, ConfigurationError
from mqjobs.model.tally import Count, Tally
from mqjobs.transport.background import in_background
from mqjobs.transport.rabbitmq.channel import CLOSE_TIMEOUT, Channel
from mqjobs.transport.rabbitmq.driver import Refused, in_our_words
from mqjobs.transport.rabbitmq.lifeline import Lifeline

log = structlog.get_logger(__name__)

ATTEMPT_TIMEOUT = timedelta(seconds=10)
PAUSE = timedelta(milliseconds=200)
LONGEST_PAUSE = timedelta(seconds=5)


def version_of(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: (4, 1, 2) of 4.1.2-rc.1."""
    numbers: list[int] = []
    for part in text.partition("-")[0].split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


class Outage:
    """Says once that the broker is lost, and once that it is back, however many connections it had."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.tally = Tally()
        self._lost: set[object] = set()

    def begin(self, connection: object, error: str) -> None:
        if not self._lost:
            log.warning("broker_lost", at=self.at, error=error)
        if connection not in self._lost:
            self.tally.add(Count.CONNECTIONS_LOST)
        self._lost.add(connection)

    def end(self, connection: object) -> None:
        if connection in self._lost:
            self._lost.discard(connection)
            if not self._lost:
                log.info("broker_back", at=self.at)

    def leave(self, connection: object) -> None:
        self._lost.discard(connection)


class Connection:
    """A connection to the broker that is made again whenever it is lost."""

    def __init__(self, url: str, outage: Outage) -> None:
        self._url = url
        self._outage = outage
        self._connection: aiormq.abc.AbstractConnection | None = None
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
                    async with in_our_words(Lifeline(), CLOSE_TIMEOUT):
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

    def _set(self, connection: aiormq.abc.AbstractConnection) -> None:
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

    async def _reconnect(self) -> aiormq.abc.AbstractConnection:
        pause = PAUSE
        while True:
            try:
                return await self._connect(ATTEMPT_TIMEOUT)
            except (BrokerUnavailable, ConfigurationError) as error:
                self._outage.begin(self, str(error))
            await asyncio.sleep(pause.total_seconds())
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connect(self, patience: timedelta) -> aiormq.abc.AbstractConnection:
        try:
            async with in_our_words(Lifeline(), patience):
                connection = await aio_pika.connect(
                    self._url, client_properties={"connection_name": "mqjobs"}
                )
                return _beneath(connection)
        except Refused as error:
            raise ConfigurationError(
                f"RabbitMQ at {self._outage.at} refuses us: {error}; see MQJOBS_BROKER_URL"
            ) from None
        except BrokerUnavailable:
            raise
        except Exception as error:
            # Whatever it is that answers there, another try may find a broker.
            raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error

    def count_in(self, tally: Tally) -> None:
        """Count here what is lost from now on, by all connections to this broker."""
        self._outage.tally = tally

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._is_there.is_set()

    async def is_there(self) -> None:
        """Returns as soon as there is a connection."""
        await self._is_there.wait()

    async def open_channel(self, *, confirms: bool = False) -> "Channel":
        """A new channel; BrokerUnavailable where there is no connection."""
        connection = self._connection
        if connection is None:
            raise BrokerUnavailable(f"no connection to RabbitMQ at {self._outage.at}")
        lifeline = self._lifeline
        async with in_our_words(lifeline):
            channel = await connection.channel(publisher_confirms=confirms, on_return_raises=False)
        return Channel(cast(aiormq.Channel, channel), lifeline.branch())

    @asynccontextmanager
    async def channel(self) -> AsyncIterator["Channel"]:
        """A new channel, until the end of the block; BrokerUnavailable where there is no connection."""
        channel = await self.open_channel()
        try:
            yield channel
        finally:
            await channel.close()


def _beneath(connection: AbstractConnection) -> aiormq.abc.AbstractConnection:
    """The driver's connection: its channels acknowledge many deliveries at once, and make no object for each."""
    if connection.transport is None:
        raise BrokerUnavailable("the connection was cut while it was made")
    return connection.transport.connection
