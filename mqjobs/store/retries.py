"""Retries by an operator: the one way out of an end."""

from collections import Counter

import asyncpg

from mqjobs.model.errors import RetryRefused, UnknownJob
from mqjobs.model.message import Envelope
from mqjobs.model.priority import Priority
from mqjobs.model.status import CHILD_RETRIES, JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.interrupts import SQL
from mqjobs.store.messages import insert_messages
from mqjobs.store.roots import lock_root


async def retry(connection: Connection, job_id: int) -> int:
    """The child, or all failed children of the root, are new again and their messages on their way; how many.

    An ended root runs again, if no active root has its name. Raises UnknownJob and RetryRefused; then nothing has
    changed. The caller opens the transaction.
    """
    root_id = await connection.fetchval(SQL["root_id_of"], job_id)
    if root_id is None:
        raise UnknownJob(f"there is no job {job_id}: see mqjobs jobs list")
    await lock_root(connection, root_id)
    children = await connection.fetch(SQL["retried_children"], job_id)
    if not children:
        raise RetryRefused(f"job {job_id} has no failed children: there is nothing to retry")
    for child in children:
        _check(child)
    before = Counter(JobStatus(child["status"]) for child in children)
    await _reopen(connection, root_id, before)
    ids = [child["id"] for child in children]
    rows = await connection.fetch(SQL["retry_children"], ids)
    await connection.execute(SQL["drop_letters_of"], ids)
    await insert_messages(connection, [next_message(row) for row in rows])
    return len(rows)


def next_message(row: asyncpg.Record) -> Envelope:
    """The message that asks for this child again, from what its row keeps.

    It comes to the queue that it came from when the job was created: others that take its topic are done with it.
    """
    return Envelope(
        id=row["message_id"],
        topic=row["topic"],
        queue=row["queue"],
        body=row["body"],
        priority=Priority(row["priority"]),
        sent_at=row["created_at"],
        headers=row["headers"] or {},
        job_id=row["message_job_id"] if row["is_own_child"] else row["id"],
        expires_at=row["expires_at"],
        attempt=row["attempt"] + 1,
    )


def _check(child: asyncpg.Record) -> None:
    if child["status"] not in CHILD_RETRIES:
        raise RetryRefused(
            f"job {child['id']} is {child['status']}: only a failed or cancelled child can be retried"
        )
    if not child["has_message"]:
        raise RetryRefused(
            f"job {child['id']} was not started by a message: start it again where it was"
        )


async def _reopen(connection: Connection, root_id: int, before: Counter[JobStatus]) -> None:
    root = await connection.fetchrow(SQL["root_to_reopen"], root_id)
    assert root is not None
    if root["status"] == JobStatus.STALE:
        raise RetryRefused(f"root job {root_id} is stale: send its message again instead")
    if root["status"] == JobStatus.RUNNING and root["interrupted"]:
        raise RetryRefused(
            f"root job {root_id} was interrupted and still runs: retry it when it has ended"
        )
    if root["taken_by"] is not None:
        raise RetryRefused(
            f"root job {root_id} cannot run again while root job {root['taken_by']} has the name {root['name']!r}: "
            "wait for that one, or interrupt it"
        )
    try:
        await connection.execute(
            SQL["reopen_root"], root_id, before[JobStatus.FAILED], before[JobStatus.CANCELLED]
        )
    except asyncpg.UniqueViolationError:
        raise RetryRefused(
            f"root job {root_id} cannot run again: an active job was just given its name {root['name']!r}"
        ) from None
