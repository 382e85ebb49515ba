"""Purges: messages that wait are thrown away, and the jobs that wait for them are cancelled."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.roots import Moved, move_roots
from mqjobs.store.statements import statements

SQL = statements("purges")


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge did: messages that are gone, child jobs that are cancelled."""

    messages: int = 0
    jobs: int = 0

    def __add__(self, other: "Purged") -> "Purged":
        return Purged(self.messages + other.messages, self.jobs + other.jobs)


@dataclass(frozen=True, slots=True)
class Thrown:
    """A message that is thrown away, and the delayed child that it was to run."""

    id: UUID
    job_id: int | None


async def last_message(connection: Connection) -> int:
    """The row that was written last: a purge that stops at it does not run after those who go on sending."""
    last: int = await connection.fetchval(SQL["last_message"])
    return last


async def count_waiting(connection: Connection, queue: str) -> int:
    """How many messages wait for this queue in the message table, now or for later."""
    count: int = await connection.fetchval(SQL["count_waiting"], queue)
    return count


async def purge(connection: Connection, queue: str, *, up_to: int, why: str, limit: int) -> Purged:
    """At most `limit` messages that wait for this queue, up to that row, are gone, and their jobs are cancelled.

    What consumers have stays, and so do dead letters. The caller opens the transaction.
    """
    rows = await connection.fetch(SQL["throw_away"], queue, up_to, limit)
    thrown = [Thrown(row["message_id"], row["job_id"]) for row in rows]
    return Purged(len(thrown), await cancel_jobs_of(connection, thrown, queue, why=why))


async def cancel_jobs_of(
    connection: Connection, thrown: Sequence[Thrown], queue: str, *, why: str
) -> int:
    """Child jobs that would wait for these messages for ever are cancelled, with the reason as error; how many.

    A job that runs goes on. The caller opens the transaction.
    """
    of_children = [message for message in thrown if message.job_id is not None]
    job_ids = [message.job_id for message in of_children]
    owners = [str(message.id) for message in thrown if message.job_id is None]
    await connection.execute(SQL["lock_roots_of_messages"], job_ids, owners)
    message_ids = [message.id for message in of_children]
    rows = await connection.fetch(
        SQL["cancel_children_of_messages"], job_ids, message_ids, owners, queue, why
    )
    await move_roots(connection, [Moved(row["root_id"], JobStatus.CANCELLED) for row in rows])
    return len(rows)
