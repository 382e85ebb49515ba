"""Claims: who may run a job. Decided by compare-and-set, whatever messages say."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.job_rows import job_of
from mqjobs.store.roots import lock_roots_of
from mqjobs.store.statements import statements

SQL = statements("children")


@dataclass(frozen=True, slots=True)
class Claim:
    """A consumer asks for a child job; `id` is this claim's own, so that asking again finds it granted."""

    job_id: int
    id: UUID
    consumer_id: UUID


@dataclass(frozen=True, slots=True)
class Granted:
    """The job is the consumer's to run, under the lease number in it; `is_takeover`: another one died with it."""

    job: Job
    is_takeover: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The job is not to be run: it has ended, or runs already. None: there is no such child job."""

    job: Job | None


@dataclass(frozen=True, slots=True)
class NotAlive:
    """The claimant is dead to all others: it may claim again when its heartbeat has made it known anew."""


Answer = Granted | Refused | NotAlive


async def claim_children(
    connection: Connection, claims: Sequence[Claim], *, crashes_allowed: int
) -> list[Answer]:
    """Each claim granted to one claimant at most, in the order given. The caller opens the transaction.

    Granted, to a consumer that lives: new, to be tried again, or running in a consumer that is dead (less than
    `crashes_allowed` times so far).
    """
    ids = [claim.job_id for claim in claims]
    await lock_roots_of(connection, ids)
    claimed = await connection.fetch(
        SQL["claim_children"],
        ids,
        [claim.id for claim in claims],
        [claim.consumer_id for claim in claims],
        crashes_allowed,
    )
    rows = {row["id"]: row for row in claimed}
    missing = [job_id for job_id in ids if job_id not in rows]
    if missing:
        rows |= {row["id"]: row for row in await connection.fetch(SQL["read_jobs"], missing)}
    alive = await _alive(connection, claims) if missing else {each.consumer_id for each in claims}
    return [_answer(claim, rows.get(claim.job_id), alive) for claim in claims]


async def _alive(connection: Connection, claims: Sequence[Claim]) -> set[UUID]:
    claimants = list({claim.consumer_id for claim in claims})
    return {row["id"] for row in await connection.fetch(SQL["live_consumers"], claimants)}


def _answer(claim: Claim, row: asyncpg.Record | None, alive: Collection[UUID]) -> Answer:
    if row is None or row["root_id"] is None:
        return Refused(None)
    if row["claim_id"] == claim.id and row["status"] == JobStatus.RUNNING:
        return Granted(job_of(row), row.get("is_takeover") or False)
    job = job_of(row)
    if claim.consumer_id not in alive and not job.status.is_terminal:
        return NotAlive()
    return Refused(job)
