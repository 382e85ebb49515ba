"""What operators see of jobs: one, the roots, a root's children and dependent messages, who runs what."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg

from mqjobs.model.errors import UnknownJob
from mqjobs.model.job import Job
from mqjobs.model.message import Envelope
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.job_rows import job_of
from mqjobs.store.statements import statements

SQL = statements("job_reports")

StaleAfter: TypeAlias = Callable[[str], timedelta | None]
"""How long the root of this name may be quiet before a newer one takes its name; None: for ever."""

ALL = tuple(JobStatus)
ACTIVE = (JobStatus.NEW, JobStatus.RUNNING)
LAST_ID = 2**63 - 1
PAGE = 200


@dataclass(frozen=True, slots=True)
class RootsWanted:
    """Which roots: of these statuses (none given: of any), with this text in their names, from below this id on."""

    statuses: Sequence[JobStatus] = ()
    name: str = ""
    only_stale: bool = False
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class DependentMessage:
    """A message that goes out when its root ends; `on` None: with SUCCESS and with FAILED."""

    id: int
    envelope: Envelope
    on: JobStatus | None
    created_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConsumerReport:
    """A consumer and what it runs: how many jobs, and those of them that have run the longest."""

    id: UUID
    host: str
    pid: int
    version: str
    queues: Sequence[str]
    started_at: datetime
    heartbeat_at: datetime
    is_alive: bool
    running: int
    jobs: Sequence[Job]


async def job(connection: Connection, job_id: int, stale_after: StaleAfter) -> Job:
    """The job of this id. Raises UnknownJob."""
    row = await connection.fetchrow(SQL["job"], job_id) if 0 < job_id <= LAST_ID else None
    if row is None:
        raise UnknownJob(f"there is no job {job_id}: see mqjobs jobs list")
    return _reported(row, stale_after)


async def roots(connection: Connection, wanted: RootsWanted, stale_after: StaleAfter) -> list[Job]:
    """The newest roots that are wanted, newest first; the next page is from before the last one's id on."""
    if wanted.only_stale:
        return await _stale_looking_roots(connection, wanted, stale_after)
    statuses, before = wanted.statuses or ALL, wanted.before
    return await _roots(connection, statuses, wanted.name, before, wanted.limit, stale_after)


async def _stale_looking_roots(
    connection: Connection, wanted: RootsWanted, stale_after: StaleAfter
) -> list[Job]:
    """Only active roots look stale, and of those there are few; which of them do is not in the database."""
    statuses = [status for status in wanted.statuses or ACTIVE if status in ACTIVE]
    found: list[Job] = []
    before = wanted.before
    while len(found) < wanted.limit:
        page = await _roots(connection, statuses, wanted.name, before, PAGE, stale_after)
        found += [root for root in page if root.looks_stale]
        if len(page) < PAGE:
            break
        before = page[-1].id
    return found[: wanted.limit]


async def _roots(
    connection: Connection,
    statuses: Sequence[JobStatus],
    name: str,
    before: int | None,
    limit: int,
    stale_after: StaleAfter,
) -> list[Job]:
    highest = LAST_ID if before is None else before
    rows = await connection.fetch(SQL["roots"], statuses, highest, name, limit)
    return [_reported(row, stale_after) for row in rows]


def _reported(row: asyncpg.Record, stale_after: StaleAfter) -> Job:
    return job_of(row, looks_stale=row["root_id"] is None and _looks_stale(row, stale_after))


def _looks_stale(row: asyncpg.Record, stale_after: StaleAfter) -> bool:
    """Whether a request for a new root of this name would make this one stale."""
    if not row["is_unique"] or row["status"] not in ACTIVE or row["is_protected"]:
        return False
    allowed = stale_after(row["name"])
    return allowed is not None and row["quiet_for"] is not None and row["quiet_for"] > allowed


async def children(
    connection: Connection,
    root_id: int,
    *,
    status: JobStatus | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[Job]:
    """Children of this root (of this status, if one is given), oldest first; the next page is after the last id."""
    statuses = ALL if status is None else (status,)
    rows = await connection.fetch(SQL["children"], root_id, statuses, after, limit)
    return [job_of(row) for row in rows]


async def open_counts(
    connection: Connection, root_id: int, *, at_most: int
) -> dict[JobStatus, int]:
    """How many children of this root are new, running and waiting for another try; none counted beyond `at_most`."""
    rows = await connection.fetch(SQL["open_counts"], root_id, at_most)
    return {JobStatus(row["status"]): row["children"] for row in rows}


async def dependents(
    connection: Connection, root_id: int, *, after: int = 0, limit: int = 100
) -> list[DependentMessage]:
    """What waits for this root's end or went out with it, oldest first; the next page is after the last id."""
    rows = await connection.fetch(SQL["dependents"], root_id, after, limit)
    return [
        DependentMessage(
            id=row["id"],
            envelope=_envelope_of(row),
            on=None if row["on_status"] is None else JobStatus(row["on_status"]),
            created_at=row["created_at"],
            sent_at=row["sent_at"],
        )
        for row in rows
    ]


def _envelope_of(row: asyncpg.Record) -> Envelope:
    return Envelope(
        id=row["message_id"],
        topic=row["topic"],
        body=row["body"],
        priority=Priority(row["priority"]),
        sent_at=row["created_at"],
        headers=row["headers"],
    )


async def consumers(connection: Connection, *, jobs_each: int = 20) -> list[ConsumerReport]:
    """Every consumer that is known, the oldest first, dead ones until a reaper forgets them; jobs of each, capped."""
    known = await connection.fetch(SQL["consumers"])
    runs: defaultdict[UUID | None, list[Job]] = defaultdict(list)
    for row in await connection.fetch(SQL["runs"], [each["id"] for each in known], jobs_each):
        runs[row["consumer_id"]].append(job_of(row))
    return [
        ConsumerReport(
            id=row["id"],
            host=row["host"],
            pid=row["pid"],
            version=row["version"],
            queues=row["queues"],
            started_at=row["started_at"],
            heartbeat_at=row["heartbeat_at"],
            is_alive=row["is_alive"],
            running=row["running"],
            jobs=runs[row["id"]],
        )
        for row in known
    ]
