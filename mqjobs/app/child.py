"""A child process of a consumer daemon, as its parent sees it."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from mqjobs.app.link import VARIABLE
from mqjobs.app.snapshot import Phase, Snapshot

LONGEST_LINE = 2**20
OF_THE_PARENT_ALONE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Child:
    """One process that consumes; `ended` has to be awaited."""

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.number = number
        self.began = time.monotonic()
        self.consumer_id: UUID | None = None
        self.when_heard: Callable[[Snapshot], object] | None = None
        self.has_consumed = asyncio.Event()
        self._process = process
        self._reader = reader
        self._writer = writer

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def listen(self) -> None:
        """Take note of what it says of itself, until it says nothing more."""
        with suppress(OSError):
            async for line in self._reader:
                if line.endswith(b"\n"):  # else it was killed in the middle of a word
                    self._note(json.loads(line))

    def _note(self, said: Mapping[str, Any]) -> None:
        if "consumer_id" in said:
            self.consumer_id = UUID(said["consumer_id"])
        if "snapshot" in said:
            snapshot = Snapshot.model_validate(said["snapshot"])
            if snapshot.phase is Phase.CONSUMING:
                self.has_consumed.set()
            if self.when_heard is not None:
                self.when_heard(snapshot)

    def tell(self, order: bytes) -> None:
        """It gets this order, if it still listens."""
        if not self._writer.is_closing():
            self._writer.write(order)

    def kill(self) -> None:
        """It is over with it, whatever it does."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Its exit code, once the process is gone; minus the number of the signal that killed it."""
        try:
            code = await self._process.wait()
        finally:
            self._writer.close()
        return code


async def start_child(number: int, words: Sequence[str], flags: Mapping[str, Any]) -> Child:
    """A process that runs `mqjobs` with these words.

    The flags go over the link, where no listing of processes shows them. It is no member of the terminal's group of
    processes: what is typed there comes to the parent alone.
    """
    ours, its = socket.socketpair()
    with its:
        environment = {
            name: value for name, value in os.environ.items() if name not in OF_THE_PARENT_ALONE
        }
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "mqjobs", *words),
                env={**environment, VARIABLE: str(its.fileno())},
                pass_fds=[its.fileno()],
                process_group=0,
                stdin=asyncio.subprocess.DEVNULL,
            )
        except BaseException:
            ours.close()
            raise
    reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
    writer.write(json.dumps({"number": number, "flags": dict(flags)}).encode() + b"\n")
    return Child(number, process, reader, writer)


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        return f"killed by {_name_of(-code)}"
    return f"exit code {code}"


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of those for real time
        return f"signal {number}"
