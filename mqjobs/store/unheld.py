"""Runs in a consumer's name that the consumer does not hold: nobody would ever end them."""

from collections.abc import Collection, Mapping
from uuid import UUID

from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.messages import insert_messages
from mqjobs.store.retries import next_message
from mqjobs.store.roots import Moved, lock_roots_of, move_roots
from mqjobs.store.statements import statements

SQL = statements("unheld")


async def not_held(
    connection: Connection, consumer_id: UUID, held: Collection[int]
) -> dict[int, int]:
    """The leases of the children that run in this consumer's name, but for those that it holds."""
    rows = await connection.fetch(SQL["not_held"], consumer_id, list(held))
    return {row["id"]: row["lease"] for row in rows}


async def give_back(
    connection: Connection, consumer_id: UUID, leases: Mapping[int, int]
) -> list[int]:
    """Those of these runs that are still the consumer's run again, under another lease; which those were.

    What was interrupted is cancelled instead, and has failed where no message can start it again. The caller opens
    the transaction.
    """
    await lock_roots_of(connection, list(leases))
    rows = await connection.fetch(
        SQL["give_back"], list(leases.keys()), list(leases.values()), consumer_id
    )
    again = [next_message(row) for row in rows if row["status"] == JobStatus.FAILED_REDELIVERED]
    await insert_messages(connection, again)
    if rows:
        await move_roots(
            connection, [Moved(row["root_id"], JobStatus(row["status"])) for row in rows]
        )
    return [row["id"] for row in rows]
