"""Locks: how long we wait for rows that another has in hand, and whose those are."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mqjobs.store.database import Connection
from mqjobs.store.statements import statements

SQL = statements("locks")


@asynccontextmanager
async def bounded_transaction(connection: Connection) -> AsyncIterator[None]:
    """A transaction, committed at the end of the block, in which a statement fails that waits for a lock for a second.

    Should we be gone before it ends, the server ends it a little later, and sets free what it has locked.
    """
    try:
        # Begun and bounded in one go, which the driver's transactions cannot: one round trip less, of six for a claim.
        await connection.execute(SQL["begin"])
        yield
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")


async def locked_children(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Those of these children that another transaction has in hand, themselves or their roots.

    The caller opens the transaction, and ends it soon: the others are in its own hand until then.
    """
    return {row["id"] for row in await connection.fetch(SQL["locked_children"], ids)}
