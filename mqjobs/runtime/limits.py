"""Limits: a consumer drains after so many messages, after so long, or when it has grown so large."""

import asyncio
import os
import resource
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import structlog

from mqjobs.runtime.every import first_of

log = structlog.get_logger(__name__)

BETWEEN_LOOKS = timedelta(seconds=2)
STATM = Path("/proc/self/statm")


@dataclass(slots=True)
class Limits:
    """How many deliveries are begun at most, how long is worked, how many bytes of memory are too many."""

    messages: int | None = None
    time: timedelta | None = None
    memory: int | None = None
    _begun: int = field(default=0, init=False)

    def begin_one(self, stop: asyncio.Event) -> None:
        """One more delivery is begun; where it is the last one that is allowed, `stop` is set."""
        self._begun += 1
        if self._begun == self.messages:
            _reach("messages", self._begun, stop)

    async def watch(self, stop: asyncio.Event, over: asyncio.Event) -> None:
        """Set `stop` when the time is up or the memory is too much; until that or `over` is set."""
        began = time.monotonic()
        while not (stop.is_set() or over.is_set()):
            left = BETWEEN_LOOKS
            if self.time is not None:
                left = min(left, self.time - timedelta(seconds=time.monotonic() - began))
            if left <= timedelta(0):
                _reach("time", round(time.monotonic() - began, 1), stop)
            elif self.memory is not None and (size := resident_bytes()) >= self.memory:
                _reach("memory", size, stop)
            else:
                await first_of(left, stop, over)


def resident_bytes() -> int:
    """The memory of this process that is in use; where the system does not tell, the most that ever was."""
    try:
        return int(STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _reach(limit: str, value: float, stop: asyncio.Event) -> None:
    if not stop.is_set():
        log.info("limit_reached", limit=limit, value=value)
        stop.set()
