"""The wire that stands for a network."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TypeAlias

import pytest

from tests.support.waiting import eventually
from tests.support.wire import Split, Streams, Wire

Connect: TypeAlias = Callable[[], Awaitable[Streams]]


@asynccontextmanager
async def echoing(split: Split | None = None) -> AsyncIterator[tuple[Wire, Connect]]:
    """A wire to a server that says what it is told, and how to connect to it."""
    opened: list[asyncio.StreamWriter] = []
    echoes: set[asyncio.StreamWriter] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        echoes.add(writer)
        with suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()
        echoes.discard(writer)

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Wire.to(f"tcp://127.0.0.1:{port}", split=split) as wire:

            async def connect() -> Streams:
                streams = await asyncio.open_connection("127.0.0.1", wire.port)
                opened.append(streams[1])
                return streams

            yield wire, connect
            for writer in opened:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
        await eventually(lambda: not echoes, what="the end of every connection")


async def say(streams: Streams, text: bytes) -> bytes:
    """What is said back."""
    reader, writer = streams
    writer.write(text)
    async with asyncio.timeout(10):
        return await reader.readexactly(len(text))


async def is_over(streams: Streams) -> bool:
    """The other end has ended the connection."""
    try:
        async with asyncio.timeout(10):
            return await streams[0].read() == b""
    except ConnectionResetError:
        return True


async def test_what_passes_is_late_by_the_latency_of_both_ways() -> None:
    loop = asyncio.get_running_loop()
    async with echoing() as (wire, connect):
        streams = await connect()
        wire.latency = timedelta(milliseconds=50)
        began = loop.time()
        assert await say(streams, b"hello") == b"hello"
        assert loop.time() - began >= 0.1


async def test_no_more_passes_than_the_wire_is_wide() -> None:
    loop = asyncio.get_running_loop()
    async with echoing() as (wire, connect):
        streams = await connect()
        wire.bytes_per_second = 1000
        began = loop.time()
        await say(streams, b"x" * 100)
        await say(streams, b"x" * 100)
        assert loop.time() - began >= 0.1


async def test_what_is_said_into_silence_is_lost_and_the_connection_with_it() -> None:
    async with echoing() as (wire, connect):
        unheard, unharmed = await connect(), await connect()
        await say(unheard, b"before")
        wire.is_silent = True
        unheard[1].write(b"lost")
        await eventually(lambda: any(link.lost for link in wire.links), what="a loss")
        wire.mend()
        assert await is_over(unheard)
        assert await say(unharmed, b"after") == b"after"


async def test_a_reset_ends_the_connections_that_there_are_and_lets_others_in() -> None:
    async with echoing() as (wire, connect):
        ended = await connect()
        await say(ended, b"before")
        assert wire.reset() == 1
        assert await is_over(ended)
        assert await say(await connect(), b"after") == b"after"


@pytest.mark.parametrize("sent", [b"a;b;c;d;", b"a;b;c;"])
async def test_an_answer_is_lost_with_all_that_comes_after_it(sent: bytes) -> None:
    def split(data: bytes) -> tuple[list[bytes], bytes]:
        *whole, rest = data.split(b";")
        return [each + b";" for each in whole], rest

    async with echoing(split) as (wire, connect):
        wire.loses = lambda message: message == b"c;"
        streams = await connect()
        streams[1].write(sent)
        async with asyncio.timeout(10):
            assert await streams[0].readexactly(4) == b"a;b;"
        assert await is_over(streams)
