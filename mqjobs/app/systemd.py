"""What systemd is told: ready, stopping, alive. The protocol is a datagram for each word, which needs no library."""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress

from mqjobs.app.snapshot import Phase, Snapshot


class Systemd:
    """The service manager that started this process; without one (NOTIFY_SOCKET is not set) nothing is told."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._beat_seconds = _half_of_watchdog(environment) if address else None
        self._is_ready = False
        self._is_stopping = False
        self._status = ""

    def hear(self, snapshot: Snapshot) -> None:
        """Tell what is new: ready when messages come in, stopping when no more are taken."""
        if snapshot.is_ready and not self._is_ready:
            self._is_ready = True
            self._tell("READY=1")
        if snapshot.phase is Phase.DRAINING and not self._is_stopping:
            self._is_stopping = True
            self._tell("STOPPING=1")
        if snapshot.status != self._status:
            self._status = snapshot.status
            self._tell(f"STATUS={self._status}")

    async def beat(self) -> None:
        """Tell twice in each WATCHDOG_USEC that the event loop turns, until cancelled."""
        while self._beat_seconds is not None:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._beat_seconds)

    def _tell(self, word: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto(word.replace("\n", " ").encode(), self._address)


def _half_of_watchdog(environment: Mapping[str, str]) -> float | None:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdecimal() and int(microseconds) else None
