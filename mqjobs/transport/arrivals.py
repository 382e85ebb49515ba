"""What has come in and nobody has taken yet."""

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from mqjobs.model.priority import Priority

T = TypeVar("T")


class Arrivals(Generic[T]):
    """A queue in memory: the most urgent first, among equals in the order of arrival."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, T]] = []
        self._places = count()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, priority: Priority, item: T) -> None:
        """One more is here."""
        heappush(self._waiting, (-priority, next(self._places), item))
        self._changed.set()

    async def take(self) -> T | None:
        """The next one, as soon as there is one; None when closed."""
        while not self._waiting and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        return heappop(self._waiting)[2] if self._waiting else None

    def clear(self) -> list[T]:
        """Nothing is here any more; what nobody has taken."""
        left = [item for _, _, item in sorted(self._waiting, key=lambda waiting: waiting[:2])]
        self._waiting.clear()
        return left

    def remove(self, goes: Callable[[T], bool]) -> list[T]:
        """What this is true of is here no more; what it was, in no order."""
        left = [item for _, _, item in self._waiting if goes(item)]
        self._waiting = [waiting for waiting in self._waiting if not goes(waiting[2])]
        heapify(self._waiting)
        return left

    @property
    def is_closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def close(self) -> None:
        """`take` ends when nothing is left."""
        self._closed = True
        self._changed.set()
