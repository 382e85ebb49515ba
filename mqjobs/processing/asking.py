"""What operators ask of the store: each call a transaction of its own."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from mqjobs.store.database import Connection
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.outages import patiently

AnswerT = TypeVar("AnswerT")


async def ask(store: JobStore, act: Callable[[Connection], Awaitable[AnswerT]]) -> AnswerT:
    """What `act` answers, committed; asked again while PostgreSQL is away, until the store's patience is over."""

    async def once() -> AnswerT:
        async with transaction(store.pool) as connection:
            return await act(connection)

    return await patiently("an operator's call", once, patience=store.patience)
