"""Transactions that are done once and answered as they were done, also where the answer to the commit was lost."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import asyncpg

from mqjobs.store.database import Connection, Pool
from mqjobs.store.locks import bounded_transaction
from mqjobs.store.outages import patiently
from mqjobs.store.statements import statements

SQL = statements("certainty")

AnswerT = TypeVar("AnswerT")


async def once_for_all(
    pool: Pool,
    what: str,
    act: Callable[[Connection], Awaitable[AnswerT]],
    *,
    patience: timedelta | None = None,
) -> AnswerT:
    """What `act` answers in a transaction, committed; tried again while PostgreSQL is away.

    Where the connection was lost under the commit, PostgreSQL is asked what became of that transaction: one that was
    committed is not run again. Raises DatabaseUnavailable once `patience` is over (None: never).
    """
    unsure: list[tuple[str, AnswerT]] = []

    async def attempt() -> AnswerT:
        async with pool.acquire() as connection:
            while unsure:
                transaction_id, answer = unsure[-1]
                if await _was_committed(connection, transaction_id):
                    return answer
                unsure.pop()
            async with bounded_transaction(connection):
                answer = await act(connection)
                transaction_id = await connection.fetchval(SQL["transaction_id"])
                if transaction_id is not None:
                    unsure.append((transaction_id, answer))
        return answer

    return await patiently(what, attempt, patience=patience)


async def _was_committed(connection: Connection, transaction_id: str) -> bool:
    try:
        status = await connection.fetchval(SQL["what_became_of"], transaction_id)
    except asyncpg.InvalidParameterValueError:
        return False  # the number is one that a standby, in power now, has not come to
    if status == "in progress":
        raise ConnectionError(f"transaction {transaction_id} has not ended yet")
    return bool(status == "committed")
