"""Waiting for a server that is away: one line when it goes, one when it is back."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar
from weakref import WeakKeyDictionary

import structlog

from mqjobs.model.errors import DatabaseUnavailable, Forbidden
from mqjobs.store.database import Try, forbidden, is_contention, is_forbidden, is_outage, this_try

log = structlog.get_logger(__name__)

AnswerT = TypeVar("AnswerT")

PAUSE = 0.25
QUIET = timedelta(seconds=6)
LONG = timedelta(seconds=10)
LONGEST = 64


class Outage:
    """Says once that a server is away, and once that it is back, however many wait for it.

    It is back when nobody has missed it for a moment: those who share an outage do not see its ends at the same time.
    """

    def __init__(self, away: str, back: str) -> None:
        self._away = away
        self._back = back
        self._waiting: set[object] = set()
        self._is_told = False
        self._telling: asyncio.TimerHandle | None = None

    def begin(self, who: object, /, **about: object) -> None:
        """The server is away for this one."""
        self._waiting.add(who)
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if not self._is_told:
            self._is_told = True
            log.warning(self._away, **about)

    def end(self, who: object, /, **about: object) -> None:
        """This one has found the server there."""
        self._waiting.discard(who)
        if self._is_told and not self._waiting and self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(QUIET.total_seconds(), self._tell, about)

    def leave(self, who: object) -> None:
        """This one waits no longer."""
        self._waiting.discard(who)

    def _tell(self, about: dict[str, object]) -> None:
        self._telling = None
        self._is_told = False
        log.info(self._back, **about)


_outages: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Outage]] = WeakKeyDictionary()


def outage_of(server: str, away: str, back: str) -> Outage:
    """The outage of this server as all see it who share the event loop: a process says a thing once."""
    outages = _outages.setdefault(asyncio.get_running_loop(), {})
    return outages.setdefault(server, Outage(away, back))


def database_outage() -> Outage:
    """The outage of PostgreSQL."""
    return outage_of("PostgreSQL", "database_away", "database_back")


async def patiently(
    what: str, act: Callable[[], Awaitable[AnswerT]], *, patience: timedelta | None = None
) -> AnswerT:
    """What `act` answers, tried again while the database is away; so `act` bears being run twice.

    Raises DatabaseUnavailable once `patience` is over (None: never), Forbidden, and whatever else `act` raises at once.
    """
    waiting = _Waiting(what, patience)
    outage, cancelled_before = database_outage(), _cancelling()
    token = this_try.set(waiting.current)
    try:
        while True:
            try:
                answer = await act()
            except Exception as error:
                if is_forbidden(error):
                    raise Forbidden(f"{what}: {forbidden(error)}") from error
                if not is_outage(error):
                    raise
                if _cancelling() > cancelled_before:  # the driver found it gone on its way out
                    raise asyncio.CancelledError from error
                waiting.has_met(error)
            else:
                outage.end(waiting)
                return answer
            await asyncio.sleep(PAUSE)
    finally:
        outage.leave(waiting)
        this_try.reset(token)


def _cancelling() -> int:
    """How often this task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


class _Waiting:
    """One call that waits for the database."""

    def __init__(self, what: str, patience: timedelta | None) -> None:
        self.current = Try()
        self._what = what
        self._patience = patience
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        self._has_told = False

    def has_met(self, error: Exception) -> None:
        """Say so where it has to be said. Raises DatabaseUnavailable where this was the last try."""
        waited = timedelta(seconds=self._now() - self._began)
        why = str(error) or type(error).__name__
        if self.current.was_cut:
            why = "no answer in time"
            self.current.longer = min(2 * self.current.longer, LONGEST)
            self.current.was_cut = False
        if self._patience is not None and waited >= self._patience:
            what = "has rows locked" if is_contention(error) else "is away"
            raise DatabaseUnavailable(
                f"PostgreSQL {what}, {self._what} was not written: {why}"
            ) from None
        if not is_contention(error):
            database_outage().begin(self, waiting=self._what, error=why)
        elif waited >= LONG and not self._has_told:
            self._has_told = True
            log.warning("rows_locked", waiting=self._what, error=why)
