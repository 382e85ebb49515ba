"""The link of a child process to its parent: what it is told, what it says, and that the parent is gone."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from mqjobs.app.orders import Orders
from mqjobs.app.snapshot import Snapshot
from mqjobs.transport.background import in_background

VARIABLE = "_MQJOBS_PARENT"
DRAIN, AT_ONCE = b"drain\n", b"at once\n"
MOST_UNREAD = 1_000_000


class Link:
    """A child's end. `number` tells the children of a parent apart, `flags` are what the parent was started with."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        first = json.loads(_first_line(line))
        self.number: int = first["number"]
        self.flags: Mapping[str, Any] = first["flags"]
        self._writer: asyncio.StreamWriter | None = None

    @asynccontextmanager
    async def obeyed(self, orders: Orders) -> AsyncIterator[None]:
        """The parent's orders are given on within the block; where the parent is gone, the order is to drain."""
        reader, self._writer = await asyncio.open_connection(sock=self._line)
        async with in_background(_obey(reader, orders)):
            yield
        self._writer.close()

    def introduce(self, consumer_id: UUID) -> None:
        """In this consumer's name jobs are run here."""
        self._say({"consumer_id": str(consumer_id)})

    def report(self, snapshot: Snapshot) -> None:
        """How this process is."""
        self._say({"snapshot": snapshot.model_dump(mode="json")})

    def _say(self, what: Mapping[str, Any]) -> None:
        writer = self._writer
        if writer is None or writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() < MOST_UNREAD:
            writer.write(json.dumps(what).encode() + b"\n")


def link_of_child() -> Link | None:
    """The link to the parent that started this process, or None where nobody did who wants to hear of it."""
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return None
    line = socket.socket(fileno=int(number))
    line.set_inheritable(False)
    return Link(line)


def _first_line(line: socket.socket) -> bytes:
    """Byte by byte, so that what follows is still there for others to read."""
    read = b""
    while not read.endswith(b"\n"):
        byte = line.recv(1)
        if not byte:
            raise SystemExit("the parent was gone before it had said what is to be done")
        read += byte
    return read


async def _obey(reader: asyncio.StreamReader, orders: Orders) -> None:
    try:
        async for word in reader:
            if word == AT_ONCE:
                orders.stop_at_once("the parent says so")
            else:
                orders.begin_draining("the parent says so")
    except OSError:
        pass
    orders.begin_draining("the parent is gone")
