"""What ends the calls of a connection or channel with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from mqjobs.model.errors import BrokerUnavailable


class Lifeline:
    """Calls made under it end when it is cut; branches are cut with it.

    It is needed because a driver can wait for ever on a connection that went while much was to be sent. `doubt` is
    called when a call on it or on a branch had no answer in time.
    """

    def __init__(
        self, parent: "Lifeline | None" = None, doubt: Callable[[], None] | None = None
    ) -> None:
        self.is_cut = False
        self._doubt = doubt
        self._parent = parent
        self._branches: set[Lifeline] = set()
        self._calls: set[asyncio.Timeout] = set()
        self._listeners: list[Callable[[], None]] = []

    def branch(self) -> "Lifeline":
        """One that is cut with this one, or alone."""
        branch = Lifeline(self, self._doubt)
        self._branches.add(branch)
        if self.is_cut:
            branch.cut()
        return branch

    def when_cut(self, tell: Callable[[], None]) -> None:
        """Tell when it is cut, now where it is cut already."""
        self._listeners.append(tell)
        if self.is_cut:
            tell()

    def cut(self) -> None:
        """End the calls, the branches and their calls, and tell who wants to know."""
        if self.is_cut:
            return
        self.is_cut = True
        if self._parent is not None:
            self._parent._branches.discard(self)
        for branch in list(self._branches):
            branch.cut()
        for call in self._calls:
            if not call.expired():
                call.reschedule(0)
        for tell in self._listeners:
            tell()

    @asynccontextmanager
    async def call(self, patience: timedelta | None = None) -> AsyncIterator[None]:
        """The block ends with BrokerUnavailable when the line is cut, or after so long."""
        if self.is_cut:
            raise BrokerUnavailable("the connection is gone")
        try:
            async with asyncio.timeout(patience.total_seconds() if patience else None) as call:
                self._calls.add(call)
                try:
                    yield
                finally:
                    self._calls.discard(call)
        except TimeoutError as error:
            raise self._why_ended() from error
        except Exception as error:
            if call.expired():  # and the driver has put another error in its place
                raise self._why_ended() from error
            raise

    def _why_ended(self) -> BrokerUnavailable:
        if self.is_cut:
            return BrokerUnavailable("the connection was cut")
        if self._doubt is not None:
            self._doubt()
        return BrokerUnavailable("no answer in time")
