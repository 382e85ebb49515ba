"""The bytes to and from RabbitMQ: cut off at once when need be, and readable whatever strangers have sent."""

import asyncio
import struct
from typing import Any, cast

import pamqp.frame
import structlog
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp import constants
from pamqp.commands import Basic
from yarl import URL

log = structlog.get_logger(__name__)

HEADER_SIZE = constants.FRAME_HEADER_SIZE
WITHOUT_PROPERTIES = b"\x00\x00"
CLASS_WEIGHT_AND_BODY_SIZE = 12
DELIVER = struct.pack(">I", Basic.Deliver.index)
TAG_AND_FLAG = 9
LONGEST_NAME = 255


class Stream(TransportFactory):
    """How the driver gets its stream of bytes; one for each connection.

    The driver gives a connection up when it cannot decode a frame, and the same message comes again on the next one,
    for ever. `is_careful`: it gets nothing that it cannot decode, which costs a second look at every message.
    """

    def __init__(self, *, is_careful: bool) -> None:
        self._is_careful = is_careful
        self._writer: asyncio.StreamWriter | None = None

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to this address."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await factory.create(url, **kwargs)
        if self._is_careful:
            reader = cast(asyncio.StreamReader, _Readable(reader))
        return reader, self._writer

    def abort(self) -> None:
        """Nothing comes or goes any more, whatever the other end makes of it."""
        if self._writer is not None:
            self._writer.transport.abort()


class _Readable:
    """Reads whole frames, and hands on those that can be decoded as they came, of others what can be."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._frame = b""

    def at_eof(self) -> bool:
        return not self._frame and self._reader.at_eof()

    async def readexactly(self, count: int) -> bytes:
        if not self._frame:
            self._frame = readable(await self._read_frame())
        taken, self._frame = self._frame[:count], self._frame[count:]
        return taken

    async def _read_frame(self) -> bytes:
        header = await self._reader.readexactly(HEADER_SIZE)
        _, _, size = pamqp.frame.frame_parts(header)
        return header + await self._reader.readexactly((size or 0) + 1)


def readable(frame: bytes) -> bytes:
    """The frame, if it can be decoded; else one that can: without properties, its names with marks in the gaps."""
    try:
        pamqp.frame.unmarshal(frame)
    except Exception as error:
        mended = _mended(frame)
        if mended != frame:
            log.warning("unreadable_properties_dropped", error=str(error) or repr(error))
        return mended
    return frame


def _mended(frame: bytes) -> bytes:
    kind, content = frame[0], frame[HEADER_SIZE:-1]
    if kind == constants.FRAME_HEADER:
        content = content[:CLASS_WEIGHT_AND_BODY_SIZE] + WITHOUT_PROPERTIES
    elif kind == constants.FRAME_METHOD and content.startswith(DELIVER):
        content = DELIVER + _with_names_mended(content[len(DELIVER) :])
    return frame[:3] + struct.pack(">I", len(content)) + content + frame[-1:]


def _with_names_mended(arguments: bytes) -> bytes:
    """Of a delivery: the consumer's tag, the delivery's tag and a flag, exchange, routing key."""
    consumer_tag, rest = _name(arguments)
    exchange, routing_key = _name(rest[TAG_AND_FLAG:])
    return consumer_tag + rest[:TAG_AND_FLAG] + exchange + _name(routing_key)[0]


def _name(data: bytes) -> tuple[bytes, bytes]:
    """The name that the data begins with, as UTF-8, and what follows."""
    end = 1 + data[0]
    text = data[1:end].decode("utf-8", "replace").replace("\ufffd", "?").encode()[:LONGEST_NAME]
    return bytes([len(text)]) + text, data[end:]
