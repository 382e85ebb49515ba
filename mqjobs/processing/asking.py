"""What operators ask of the store: each call a transaction of its own."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from mqjobs.store.certainty import once_for_all
from mqjobs.store.database import Connection
from mqjobs.store.job_store import JobStore

AnswerT = TypeVar("AnswerT")


async def ask(store: JobStore, act: Callable[[Connection], Awaitable[AnswerT]]) -> AnswerT:
    """What `act` answers, committed once; asked again while PostgreSQL is away, until the store's patience is over."""
    return await once_for_all(store.pool, "an operator's call", act, patience=store.patience)
