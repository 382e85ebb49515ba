"""Counting what is done, and taking the time of what comes after the warm-up."""

import asyncio
import threading
from itertools import count
from time import perf_counter
from typing import Protocol


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
        self._began_at = self._ended_at = 0.0
        self._is_warm, self._is_over = asyncio.Event(), asyncio.Event()

    def count(self) -> bool:
        """One more is done; whether it was the last."""
        self._done += 1
        if self._done == self._begin:
            self._began_at = perf_counter()
            self._is_warm.set()
            if self._profiler is not None:
                self._profiler.enable()
        elif self._done == self._end:
            if self._profiler is not None:
                self._profiler.disable()
            self._ended_at = perf_counter()
            self._is_over.set()
        return self._is_over.is_set()

    async def warm(self) -> None:
        """Returns when the warm-up is done."""
        await self._is_warm.wait()

    async def over(self) -> None:
        """Returns when all are done."""
        await self._is_over.wait()

    async def per_second(self) -> float:
        """How many were done in a second, once all are."""
        await self.over()
        return (self._end - self._begin) / (self._ended_at - self._began_at)


class ThreadTally:
    """The same for programs that work in threads."""

    def __init__(self, *, warm_up: int, size: int) -> None:
        self._begin, self._end = warm_up, warm_up + size
        self._numbers = count(1)
        self._began_at = self._ended_at = 0.0
        self._is_over = threading.Event()

    def count(self) -> None:
        """One more is done."""
        number = next(self._numbers)
        if number == self._begin:
            self._began_at = perf_counter()
        elif number == self._end:
            self._ended_at = perf_counter()
            self._is_over.set()

    async def per_second(self) -> float:
        """How many were done in a second, once all are."""
        await asyncio.to_thread(self._is_over.wait)
        return (self._end - self._begin) / (self._ended_at - self._began_at)
