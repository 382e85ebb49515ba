"""Counting what is done, and taking the time of what comes after the warm-up."""

import asyncio
import threading
from dataclasses import dataclass
from itertools import count
from time import perf_counter, process_time
from typing import Protocol

PROCESSOR = "processor, µs each"


@dataclass(slots=True)
class Stretch:
    """So many pieces, from one moment to another, by the clock and by the processor's time of this process."""

    pieces: int
    _seconds: float = 0.0
    _processor_seconds: float = 0.0

    def begin(self) -> None:
        """The first of them is next."""
        self._seconds -= perf_counter()
        self._processor_seconds -= process_time()

    def end(self) -> None:
        """The last of them is done."""
        self._seconds += perf_counter()
        self._processor_seconds += process_time()

    @property
    def figures(self) -> dict[str, float]:
        """How many in a second, and the microseconds of the processor's time that each took in this process."""
        return {
            "per second": self.pieces / self._seconds,
            PROCESSOR: self._processor_seconds * 1_000_000 / self.pieces,
        }


class Profiler(Protocol):
    """What watches the counted part alone."""

    def enable(self) -> None:
        """Watch from here on."""

    def disable(self) -> None:
        """Watch no more."""


class Tally:
    """Counts in one event loop; a profiler that is given watches what comes after the warm-up."""

    def __init__(self, *, warm_up: int, size: int, profiler: Profiler | None = None) -> None:
        self._begin, self._end = warm_up, warm_up + size
        self._profiler = profiler
        self._done = 0
        self._stretch = Stretch(size)
        self._is_over = asyncio.Event()

    def count(self) -> bool:
        """One more is done; whether it was the last."""
        self._done += 1
        if self._done == self._begin:
            self._stretch.begin()
            if self._profiler is not None:
                self._profiler.enable()
        elif self._done == self._end:
            if self._profiler is not None:
                self._profiler.disable()
            self._stretch.end()
            self._is_over.set()
        return self._is_over.is_set()

    async def over(self) -> None:
        """Returns when all are done."""
        await self._is_over.wait()

    async def figures(self) -> dict[str, float]:
        """What they came to, once all are done."""
        await self.over()
        return self._stretch.figures


class ThreadTally:
    """The same for programs that work in threads."""

    def __init__(self, *, warm_up: int, size: int) -> None:
        self._begin, self._end = warm_up, warm_up + size
        self._numbers = count(1)
        self._stretch = Stretch(size)
        self._is_over = threading.Event()

    def count(self) -> None:
        """One more is done."""
        number = next(self._numbers)
        if number == self._begin:
            self._stretch.begin()
        elif number == self._end:
            self._stretch.end()
            self._is_over.set()

    async def figures(self) -> dict[str, float]:
        """What they came to, once all are done."""
        await asyncio.to_thread(self._is_over.wait)
        return self._stretch.figures
