"""Waiting for a server that is away: one line when it goes, one when it is back."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import structlog

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.store.database import is_outage

log = structlog.get_logger(__name__)

AnswerT = TypeVar("AnswerT")

PAUSE = 0.25


async def patiently(
    what: str, act: Callable[[], Awaitable[AnswerT]], *, patience: timedelta | None = None
) -> AnswerT:
    """What `act` answers, tried again while the database is away; so `act` bears being run twice.

    Raises DatabaseUnavailable once `patience` is over (None: never), and whatever else `act` raises at once.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    away = False
    while True:
        try:
            answer = await act()
        except Exception as error:
            if not is_outage(error):
                raise
            if patience is not None and loop.time() - began >= patience.total_seconds():
                raise DatabaseUnavailable(
                    f"PostgreSQL is away, {what} was not written: {error}"
                ) from None
            if not away:
                log.warning("database_away", waiting=what, error=str(error) or type(error).__name__)
            away = True
            await asyncio.sleep(PAUSE)
        else:
            if away:
                log.info("database_back", waiting=what)
            return answer
