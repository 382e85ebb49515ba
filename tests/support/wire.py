"""A wire to a server that can go silent or be torn, as networks do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Wire:
    """Passes bytes between whoever connects to `port` here and the server.

    While it `is_silent` what comes in is lost, and nobody is told. While it `is_torn` nobody is let in.
    """

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect = connect
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.is_silent = False
        self.is_torn = False

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator["Wire"]:
        """A wire to the server of this URL, until the end of the block."""
        wire = cls(lambda: _connect_to(url))
        async with await asyncio.start_server(wire._join, "127.0.0.1", 0) as server:
            wire.port = server.sockets[0].getsockname()[1]
            yield wire
            wire.tear()

    def tear(self) -> None:
        """End every connection, and let nobody in."""
        self.is_torn = True
        for writer in self._writers:
            writer.close()

    def mend(self) -> None:
        """Whoever comes is let in again, and heard."""
        self.is_silent = self.is_torn = False

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_torn:
            writer.close()
            return
        there_reader, there_writer = await self._connect()
        self._writers |= {writer, there_writer}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, there_writer))
            group.create_task(self._pass(there_reader, writer))
        self._writers -= {writer, there_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if not self.is_silent:
                    writer.write(data)
                    await writer.drain()
        writer.close()


async def _connect_to(url: str) -> Streams:
    parts = urlsplit(url)
    if folder := parse_qs(parts.query).get("host"):
        return await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.5432")
    return await asyncio.open_connection(parts.hostname, parts.port)
