"""The connection to RabbitMQ, made again whenever it is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import cast

import aiormq
import structlog

from mqjobs.model.errors import BrokerUnavailable, ConfigurationError
from mqjobs.model.tally import Count, Tally
from mqjobs.store.certificates import certificate_fault
from mqjobs.store.database import without_password
from mqjobs.store.outages import outage_of
from mqjobs.transport.background import in_background
from mqjobs.transport.rabbitmq.channel import CLOSE_TIMEOUT, Channel
from mqjobs.transport.rabbitmq.driver import (
    ANSWER_TIMEOUT,
    Refused,
    in_our_words,
    is_undecodable,
)
from mqjobs.transport.rabbitmq.lifeline import Lifeline
from mqjobs.transport.rabbitmq.stream import Stream

log = structlog.get_logger(__name__)

ATTEMPT_TIMEOUT = timedelta(seconds=5)
PAUSE = timedelta(milliseconds=200)
LONGEST_PAUSE = timedelta(seconds=2)
QUESTION_INTERVAL = timedelta(seconds=3)
QUESTION_TIMEOUT = timedelta(seconds=6)


def version_of(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: (4, 1, 2) of 4.1.2-rc.1."""
    numbers: list[int] = []
    for part in text.partition("-")[0].split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


class Connection:
    """A connection to the broker that is made again whenever it is lost.

    One that gives no answer is lost, too: while nothing else is asked on it, a question is put every few seconds.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._at = without_password(url)
        self._outage = outage_of(self._at, "broker_lost", "broker_back")
        self._connection: aiormq.Connection | None = None
        self._stream = Stream(is_careful=False)
        self._lifeline = Lifeline()
        self._is_there = asyncio.Event()
        self._is_in_doubt = asyncio.Event()
        self._is_careful = False
        self._tally = Tally()

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
                        f"no RabbitMQ at {self._at} within "
                        f"{connect_timeout.total_seconds():g} s: {error}"
                    ) from None
                if not told:
                    log.warning("broker_awaited", at=self._at, error=str(error))
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
            self._stream.abort()

    async def _keep(self) -> None:
        while True:
            if self._connection is None:
                self._set(await self._reconnect())
            self._outage.end(self, at=self._at)
            async with in_background(self._question()):
                error = await self._end_of_connection()
            self._is_there.clear()
            self._connection = None
            self._outage.begin(self, at=self._at, error=error)
            self._tally.add(Count.CONNECTIONS_LOST)

    def _set(self, connection: aiormq.Connection) -> None:
        self._connection = connection
        self._is_in_doubt.clear()
        self._lifeline = lifeline = Lifeline(doubt=self._is_in_doubt.set)
        self._closing = connection.closing
        self._closing.add_done_callback(lambda _: lifeline.cut())
        self._is_there.set()

    async def _end_of_connection(self) -> str:
        ended = asyncio.Event()
        self._lifeline.when_cut(ended.set)
        await ended.wait()
        if not self._closing.done():
            return "it gives no answer"
        if self._closing.cancelled():
            return "cut"
        error = self._closing.exception()
        if error is not None and is_undecodable(error) and not self._is_careful:
            log.warning("reading_carefully", at=self._at, error=str(error) or repr(error))
            self._is_careful = True
        return str(error or "closed")

    async def _question(self) -> None:
        """Cut the connection when it gives no answer. A broker that has said that it does not listen may be silent."""
        channel: Channel | None = None
        while True:
            await self._doubt_or_a_while()
            if not await self._listens():
                continue
            self._is_in_doubt.clear()
            with suppress(BrokerUnavailable, Refused):
                if channel is None or channel.is_closed:
                    channel = await self.open_channel(patience=QUESTION_TIMEOUT)
                await channel.hear(QUESTION_TIMEOUT)
            if self._is_in_doubt.is_set():
                self._stream.abort()
                self._lifeline.cut()
                return

    async def _doubt_or_a_while(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(QUESTION_INTERVAL.total_seconds()):
                await self._is_in_doubt.wait()

    async def _listens(self) -> bool:
        if self._connection is None:
            return False
        try:
            async with asyncio.timeout(0):
                await self._connection.ready()
        except TimeoutError:
            self._is_in_doubt.clear()
            return False
        return True

    async def _reconnect(self) -> aiormq.Connection:
        pause = PAUSE
        while True:
            try:
                return await self._connect(ATTEMPT_TIMEOUT)
            except (BrokerUnavailable, ConfigurationError) as error:
                self._outage.begin(self, at=self._at, error=str(error))
            await asyncio.sleep(pause.total_seconds())
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connect(self, patience: timedelta) -> aiormq.Connection:
        self._stream = Stream(is_careful=self._is_careful)
        connection = aiormq.Connection(
            self._url,
            client_properties={"connection_name": "mqjobs"},
            transport_factory=self._stream,
        )
        # Before the driver is told to stop: it would say goodbye first, and wait for the broker to hear it.
        end = asyncio.get_running_loop().call_later(patience.total_seconds(), self._stream.abort)
        try:
            async with in_our_words(Lifeline(), patience):
                await connection.connect()
                return connection
        except Refused as error:
            raise ConfigurationError(
                f"RabbitMQ at {self._at} refuses us: {str(error).rstrip('.')}; see MQJOBS_BROKER_URL"
            ) from None
        except BrokerUnavailable as error:
            if fault := certificate_fault(error):
                raise ConfigurationError(
                    f"RabbitMQ at {self._at}: {fault}; see cafile in MQJOBS_BROKER_URL"
                ) from None
            raise
        except Exception as error:
            # Whatever it is that answers there, another try may find a broker.
            raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
        finally:
            end.cancel()
            if not connection.is_opened:
                self._stream.abort()

    def count_in(self, tally: Tally) -> None:
        """Count here how often it is lost from now on."""
        self._tally = tally

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._is_there.is_set()

    async def is_there(self) -> None:
        """Returns as soon as there is a connection."""
        await self._is_there.wait()

    async def open_channel(
        self, *, confirms: bool = False, patience: timedelta = ANSWER_TIMEOUT
    ) -> Channel:
        """A new channel; BrokerUnavailable where there is no connection, or no answer for so long."""
        connection = self._connection
        if connection is None:
            raise BrokerUnavailable(f"no connection to RabbitMQ at {self._at}")
        lifeline = self._lifeline
        async with in_our_words(lifeline, patience):
            channel = await connection.channel(publisher_confirms=confirms, on_return_raises=False)
        return Channel(cast(aiormq.Channel, channel), lifeline.branch())

    @asynccontextmanager
    async def channel(self, patience: timedelta = ANSWER_TIMEOUT) -> AsyncIterator[Channel]:
        """A new channel, until the end of the block; BrokerUnavailable as from `open_channel`."""
        channel = await self.open_channel(patience=patience)
        try:
            yield channel
        finally:
            await channel.close()
