"""The records: what the database says at the end of a run, in the terms of the ledger."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import asyncpg

AUDIT = """
CREATE SCHEMA faults;
CREATE TABLE faults.ended (root_id bigint, status text);
CREATE TABLE faults.released (id bigint);

CREATE FUNCTION faults.note_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO faults.ended VALUES (NEW.id, NEW.status); RETURN NULL; END $$;
CREATE FUNCTION faults.note_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO faults.released VALUES (NEW.id); RETURN NULL; END $$;

CREATE TRIGGER note_end AFTER UPDATE OF status ON mqjobs.job FOR EACH ROW
    WHEN (NEW.root_id IS NULL AND NEW.stopped_at IS NOT NULL AND OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION faults.note_end();
CREATE TRIGGER note_release AFTER UPDATE OF sent_at ON mqjobs.dependent_message FOR EACH ROW
    WHEN (NEW.sent_at IS NOT NULL)
    EXECUTE FUNCTION faults.note_release();
"""
"""Triggers of the suite's own: how often a root has ended and a dependent message was released."""

MISCOUNTED = """
SELECT count(*) FROM mqjobs.job AS root, LATERAL (
    SELECT count(*) AS children,
           count(*) FILTER (WHERE status = 'success') AS success,
           count(*) FILTER (WHERE status = 'failed') AS failed,
           count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE status = 'stale') AS stale
      FROM mqjobs.job WHERE root_id = root.id) AS counted
 WHERE root.root_id IS NULL
   AND (root.children, root.children_success, root.children_failed, root.children_cancelled, root.children_stale)
       IS DISTINCT FROM (counted.children, counted.success, counted.failed, counted.cancelled, counted.stale)
"""

TWICE_ACTIVE = """
SELECT name FROM mqjobs.job WHERE root_id IS NULL AND is_unique AND status IN ('new', 'running')
 GROUP BY name HAVING count(*) > 1
"""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as its row stands at the end; `stopped` is when it ended, on the ledger's clock."""

    id: int
    root: int | None
    name: str
    status: str
    lease: int
    stopped: float | None
    retries: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether its status is one that nothing leaves."""
        return self.status in {"success", "failed", "cancelled", "stale"}


@dataclass(frozen=True, slots=True)
class DependentRecord:
    """A dependent message: for which root, waiting for which end, and whether it was released."""

    id: int
    root: int
    message: str
    on: str | None
    is_sent: bool


@dataclass(frozen=True, slots=True)
class Records:
    """What the database says."""

    jobs: tuple[JobRecord, ...] = ()
    dead_letters: frozenset[str] = frozenset()
    dependents: tuple[DependentRecord, ...] = ()
    ends: Counter[int] = field(default_factory=Counter)
    releases: Counter[int] = field(default_factory=Counter)
    miscounted: int = 0
    names_twice: frozenset[str] = frozenset()
    left_in_queues: int = 0


async def begin_records(connection: Any) -> None:
    """From here on the database notes ends and releases."""
    await connection.execute(AUDIT)


async def names_twice(connection: Any) -> set[str]:
    """The names that two active roots have now."""
    return {row["name"] for row in await connection.fetch(TWICE_ACTIVE)}


async def read_records(
    connection: Any, *, names_twice: frozenset[str], left_in_queues: int
) -> Records:
    """All of it; names and queues were looked at elsewhere, messages in the outbox count as left in queues."""
    offset = await _offset(connection)
    waiting = await connection.fetchval("SELECT count(*) FROM mqjobs.message WHERE dead_at IS NULL")
    return Records(
        jobs=tuple(
            [_job(row, offset) for row in await connection.fetch("SELECT * FROM mqjobs.job")]
        ),
        dead_letters=frozenset(
            str(row["message_id"])
            for row in await connection.fetch(
                "SELECT message_id FROM mqjobs.message WHERE dead_at IS NOT NULL"
            )
        ),
        dependents=tuple(
            [
                _dependent(row)
                for row in await connection.fetch("SELECT * FROM mqjobs.dependent_message")
            ]
        ),
        ends=await _counted(connection, "SELECT root_id FROM faults.ended"),
        releases=await _counted(connection, "SELECT id FROM faults.released"),
        miscounted=await connection.fetchval(MISCOUNTED),
        names_twice=names_twice,
        left_in_queues=left_in_queues + waiting,
    )


async def _offset(connection: Any) -> float:
    """What to take from a time of the database to have it on the ledger's clock."""
    before = time.monotonic()
    now = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    return float(now) - (before + time.monotonic()) / 2


def _job(row: asyncpg.Record, offset: float) -> JobRecord:
    stopped = row["stopped_at"]
    return JobRecord(
        id=row["id"],
        root=row["root_id"],
        name=row["name"],
        status=row["status"],
        lease=row["lease"],
        stopped=stopped.timestamp() - offset if stopped else None,
        retries=row["retries"],
    )


def _dependent(row: asyncpg.Record) -> DependentRecord:
    return DependentRecord(
        id=row["id"],
        root=row["root_id"],
        message=str(row["message_id"]),
        on=row["on_status"],
        is_sent=row["sent_at"] is not None,
    )


async def _counted(connection: Any, statement: str) -> Counter[int]:
    return Counter(row[0] for row in await connection.fetch(statement))
