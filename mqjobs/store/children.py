"""Delayed children: created with their messages by the run that owns the root; reports of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from mqjobs.model.errors import JobError, LeaseLost
from mqjobs.model.job import Job
from mqjobs.model.message import Envelope
from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.job_rows import job_of
from mqjobs.store.roots import SQL as ROOTS
from mqjobs.store.roots import Moved, lock_root, lock_roots_of, move_roots
from mqjobs.store.statements import statements

SQL = statements("children")


@dataclass(frozen=True, slots=True)
class OwnRun:
    """The run of a root's own child, in whose name children and dependent messages are added."""

    root_id: int
    own_child_id: int
    lease: int


@dataclass(frozen=True, slots=True)
class NewChild:
    """A delayed child that is asked for, under an id that was reserved for it, and its message."""

    name: str
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Dependent:
    """A message that goes out when its root ends; `on` None: with SUCCESS and with FAILED."""

    envelope: Envelope
    on: JobStatus | None


async def reserve_ids(connection: Connection, count: int) -> list[int]:
    """Ids that no other job will have."""
    return [row[0] for row in await connection.fetch(SQL["reserve_ids"], count)]


async def create_children(connection: Connection, run: OwnRun, children: Sequence[NewChild]) -> int:
    """Children and messages, those whose names the root did not have; how many those were.

    Each child's id is its envelope's job id. Raises LeaseLost where the run is no longer the job's: then nothing is
    created. The caller opens the transaction.
    """
    await hold_lease(connection, run)
    envelopes = [child.envelope for child in children]
    rows = await connection.fetch(
        SQL["create_children"],
        run.root_id,
        [envelope.job_id for envelope in envelopes],
        [child.name for child in children],
        [envelope.id for envelope in envelopes],
        [envelope.topic for envelope in envelopes],
        [envelope.body for envelope in envelopes],
        [dict(envelope.headers) for envelope in envelopes],
        [int(envelope.priority) for envelope in envelopes],
        [envelope.delay for envelope in envelopes],
        [envelope.expires_at for envelope in envelopes],
    )
    moves = [Moved(run.root_id, None) for _ in rows]
    moves += [
        Moved(run.root_id, JobStatus.CANCELLED) for row in rows if row["status"] == "cancelled"
    ]
    if moves:
        await move_roots(connection, moves)
    return len(rows)


async def children_by_name(
    connection: Connection, root_id: int, names: Sequence[str]
) -> Mapping[str, Job]:
    """The children of a root that have these names."""
    rows = await connection.fetch(SQL["children_by_name"], root_id, names)
    return {row["name"]: job_of(row) for row in rows}


async def add_dependents(
    connection: Connection, run: OwnRun, dependents: Sequence[Dependent]
) -> None:
    """These too wait for the root's end. Raises LeaseLost. The caller opens the transaction."""
    await hold_lease(connection, run)
    envelopes = [dependent.envelope for dependent in dependents]
    await connection.execute(
        ROOTS["add_dependents"],
        run.root_id,
        [envelope.id for envelope in envelopes],
        [envelope.topic for envelope in envelopes],
        [envelope.body for envelope in envelopes],
        [dict(envelope.headers) for envelope in envelopes],
        [int(envelope.priority) for envelope in envelopes],
        [dependent.on for dependent in dependents],
    )


async def report(
    connection: Connection,
    job_id: int,
    lease: int,
    *,
    progress: float | None,
    data: Mapping[str, Any] | None,
    max_bytes: int,
) -> None:
    """Progress and data of a run are written, and its root is active.

    Raises LeaseLost, and JobError for data that PostgreSQL cannot keep or that would be larger than allowed with what
    was reported before. The caller opens the transaction.
    """
    await lock_roots_of(connection, [job_id])
    try:
        row = await connection.fetchrow(SQL["report"], job_id, lease, progress, data or None)
    except asyncpg.DataError as error:
        raise JobError(
            f"the report of job {job_id} cannot be kept: give JSON values without NUL ({error})"
        ) from None
    if row is None:
        raise LeaseLost(
            f"job {job_id} is no longer run under lease {lease}: its report was not written"
        )
    if row["data_bytes"] > max_bytes:
        raise JobError(
            f"the data of job {job_id} would have {row['data_bytes']} bytes, {max_bytes} are allowed: report less, or "
            "raise MQJOBS_MAX_MESSAGE_BYTES"
        )


async def hold_lease(connection: Connection, run: OwnRun) -> None:
    """The root is this transaction's alone and the run is still its own child's; else LeaseLost."""
    await lock_root(connection, run.root_id)
    if not await connection.fetchval(SQL["holds_lease"], run.own_child_id, run.lease):
        raise LeaseLost(
            f"job {run.own_child_id} is no longer run under lease {run.lease}: nothing was written"
        )
