"""The outbox as the relay sees it: what is due, and what became of it."""

from collections.abc import Sequence
from datetime import timedelta

from mqjobs.model.message import DeadReason, Envelope
from mqjobs.store.database import Connection
from mqjobs.store.messages import envelope_of
from mqjobs.store.statements import statements

SQL = statements("outbox")


async def due(
    connection: Connection, limit: int, *, only_unrouted: bool
) -> list[tuple[int, Envelope]]:
    """Messages to publish now, with their row ids, for this transaction alone.

    `only_unrouted`: those that had no queue when they were written, because the others need no relay.
    """
    rows = await connection.fetch(SQL["due_without_queue" if only_unrouted else "due"], limit)
    return [(row["id"], envelope_of(row)) for row in rows]


async def oldest_due(connection: Connection) -> timedelta | None:
    """How long the message that has been due the longest has waited to go out; None: nothing is due."""
    age: timedelta | None = await connection.fetchval(SQL["oldest_due"])
    return age


async def keep_in_hand(
    connection: Connection, row_ids: Sequence[int], for_so_long: timedelta
) -> None:
    """Other relays pass these over for so long, also when the transaction is over."""
    await connection.execute(SQL["keep_in_hand"], row_ids, for_so_long)


async def let_go(connection: Connection, row_ids: Sequence[int]) -> None:
    """These are due for any relay again."""
    await connection.execute(SQL["let_go"], row_ids)


async def delete(connection: Connection, row_ids: Sequence[int]) -> None:
    """These are with the broker."""
    if row_ids:
        await connection.execute(SQL["delete"], row_ids)


async def make_dead(
    connection: Connection, row_ids: Sequence[int], *, reason: DeadReason, detail: str
) -> None:
    """These stay, as dead letters."""
    if row_ids:
        await connection.execute(SQL["make_dead"], row_ids, reason, detail)
