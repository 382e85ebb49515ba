"""The database's clock, read off a monotonic one: a wall clock that is stepped here changes nothing."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta


class DatabaseClock:
    """Says what time the database has, to within the round trip of the last reading."""

    def __init__(self, now: datetime, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.set(now)

    def set(self, now: datetime) -> None:
        """The database has just said that it is this time."""
        self._offset = now - timedelta(seconds=self._monotonic())

    def now(self) -> datetime:
        """The time in the database."""
        return self._offset + timedelta(seconds=self._monotonic())
