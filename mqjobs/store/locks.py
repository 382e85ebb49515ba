"""Locks: how long we wait for rows that another has in hand, and whose those are."""

from collections.abc import Sequence

from mqjobs.store.database import Connection
from mqjobs.store.statements import statements

SQL = statements("locks")


async def bound_waits(connection: Connection) -> None:
    """A statement that waits for a lock for longer than a second fails, until the transaction ends.

    Should we be gone before it ends, the server ends it a little later, and sets free what it has locked.
    """
    await connection.execute(SQL["bound_waits"])


async def locked_children(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Those of these children that another transaction has in hand, themselves or their roots.

    The caller opens the transaction, and ends it soon: the others are in its own hand until then.
    """
    return {row["id"] for row in await connection.fetch(SQL["locked_children"], ids)}
