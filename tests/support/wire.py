"""A wire to a server that can be slow, go silent or be torn, as networks do."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from tests.support.waiting import eventually

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Split: TypeAlias = Callable[[bytes], tuple[Sequence[bytes], bytes]]

PIECE = 16384
PIECES_ON_THEIR_WAY = 64
_CLOSE_WITH_A_RESET = struct.pack("ii", 1, 0)


class Wire:
    """Passes bytes between whoever connects to `port` here and the server.

    While it `is_silent` what comes in is lost, and nobody is told. While it `is_torn` nobody is let in. What it
    passes takes `latency`, and no more than `bytes_per_second` go each way of a connection (None: as many as come).

    Where it can `split` what the server sends into whole messages, `loses` is asked of each: a message for which it
    says True never arrives, and the connection is torn.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Streams]], *, split: Split | None = None
    ) -> None:
        self._connect = connect
        self._split = split
        self.links: set[Link] = set()
        self.port = 0
        self.is_silent = False
        self.is_torn = False
        self.latency = timedelta(0)
        self.bytes_per_second: float | None = None
        self.loses: Callable[[bytes], bool] = lambda _: False

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str, *, split: Split | None = None) -> AsyncIterator["Wire"]:
        """A wire to the server of this URL, until the end of the block."""
        wire = cls(lambda: _connect_to(url), split=split)
        async with await asyncio.start_server(wire._join, "127.0.0.1", 0) as server:
            wire.port = server.sockets[0].getsockname()[1]
            yield wire
            wire.tear()
            await eventually(lambda: not wire.links, what="the end of every connection")

    def tear(self) -> None:
        """End every connection, and let nobody in."""
        self.is_torn = True
        for link in self.links:
            link.close()

    def reset(self) -> int:
        """End every connection as a host does that knows nothing of it; how many there were."""
        for link in self.links:
            link.reset()
        return len(self.links)

    def mend(self) -> None:
        """Whoever comes is let in again, heard and answered; a connection that lost something is reset."""
        self.is_silent = self.is_torn = False
        self.latency, self.bytes_per_second = timedelta(0), None
        self.loses = lambda _: False
        for link in self.links:
            if link.lost:
                link.reset()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_torn:
            writer.close()
            return
        try:
            there_reader, there_writer = await self._connect()
        except OSError:
            writer.close()
            return
        link = Link(self, writer, there_writer)
        self.links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(link.carry(reader, there_writer))
                group.create_task(link.carry(there_reader, writer, split=self._split))
        finally:
            self.links.discard(link)


@dataclass(frozen=True, slots=True)
class _Piece:
    data: bytes
    due: float


class Link:
    """One connection: what goes in at one end comes out at the other, unless it is lost."""

    def __init__(self, wire: Wire, *ends: asyncio.StreamWriter) -> None:
        self._wire = wire
        self._ends = ends
        self.lost = False
        self.lost_an_answer = False

    def close(self) -> None:
        for end in self._ends:
            end.close()

    def reset(self) -> None:
        for end in self._ends:
            if not end.transport.is_closing():
                here: socket.socket = end.get_extra_info("socket")
                with suppress(OSError):  # a Unix socket cannot do it, and is closed all the same
                    here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_A_RESET)
                end.transport.abort()

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, split: Split | None = None
    ) -> None:
        """Until one end has had enough."""
        on_its_way: asyncio.Queue[_Piece | None] = asyncio.Queue(PIECES_ON_THEIR_WAY)
        async with asyncio.TaskGroup() as group:
            setting_out = group.create_task(self._set_out(reader, on_its_way, split))
            await self._arrive(on_its_way, writer)
            setting_out.cancel()

    async def _set_out(
        self,
        reader: asyncio.StreamReader,
        on_its_way: asyncio.Queue[_Piece | None],
        split: Split | None,
    ) -> None:
        now = asyncio.get_running_loop().time
        rest = b""
        with suppress(OSError):
            while not self.lost_an_answer and (data := await reader.read(PIECE)):
                if split is not None:
                    messages, rest = split(rest + data)
                    data = self._kept(messages)
                if self._wire.is_silent:
                    self.lost = True
                elif data:
                    await on_its_way.put(_Piece(data, now() + self._wire.latency.total_seconds()))
        await on_its_way.put(None)

    def _kept(self, messages: Sequence[bytes]) -> bytes:
        """What goes on of these: all, or those before one that gets lost."""
        for number, message in enumerate(messages):
            if self._wire.loses(message):
                self.lost_an_answer = True
                return b"".join(messages[:number])
        return b"".join(messages)

    async def _arrive(
        self, on_its_way: asyncio.Queue[_Piece | None], writer: asyncio.StreamWriter
    ) -> None:
        now = asyncio.get_running_loop().time
        with suppress(OSError):
            while piece := await on_its_way.get():
                await asyncio.sleep(max(0, piece.due - now()))
                writer.write(piece.data)
                await writer.drain()
                if self._wire.bytes_per_second is not None:
                    await asyncio.sleep(len(piece.data) / self._wire.bytes_per_second)
        if self.lost_an_answer:
            self.reset()
        writer.close()


async def _connect_to(url: str) -> Streams:
    parts = urlsplit(url)
    if folder := parse_qs(parts.query).get("host"):
        return await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.5432")
    return await asyncio.open_connection(parts.hostname, parts.port)
