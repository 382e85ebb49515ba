"""Consumers: who lives, what they may go on with, and what the dead leave behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from mqjobs.model.outcome import StopReason
from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.locks import locked_children
from mqjobs.store.messages import DeadLetter, insert_dead_letters, insert_messages
from mqjobs.store.retries import next_message
from mqjobs.store.roots import Moved, lock_roots_of, move_roots
from mqjobs.store.statements import statements

SQL = statements("consumers")

PAGES_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class ConsumerInfo:
    """A consumer as operators see it. It is dead from `alive_until` on, unless it beats again."""

    id: UUID
    host: str
    pid: int
    version: str
    queues: Sequence[str]


async def register(connection: Connection, consumer: ConsumerInfo, alive_for: timedelta) -> None:
    """The consumer is known, and alive for so long."""
    await connection.execute(
        SQL["register"],
        consumer.id,
        consumer.host,
        consumer.pid,
        consumer.version,
        list(consumer.queues),
        alive_for,
    )


async def beat(
    connection: Connection, consumer_id: UUID, alive_for: timedelta, *, is_full: bool = False
) -> datetime | None:
    """The consumer is alive for so long from now, the database's time; None: it was declared dead and forgotten.

    `is_full`: it holds deliveries that it has no slot for.
    """
    now: datetime | None = await connection.fetchval(SQL["beat"], consumer_id, alive_for, is_full)
    return now


async def deregister(connection: Connection, consumer_id: UUID) -> None:
    """The consumer is gone; what it may have left running is anybody's."""
    await connection.execute(SQL["deregister"], consumer_id)


async def declare_dead(connection: Connection, consumer_id: UUID) -> None:
    """The consumer's process is known to be gone: its heartbeat counts no longer, and `reap` finds what it ran."""
    await connection.execute(SQL["declare_dead"], consumer_id)


async def look_after(
    connection: Connection, leases: Mapping[int, int]
) -> dict[tuple[int, int], StopReason]:
    """Of the runs held here (job id: lease), those to stop and why."""
    rows = await connection.fetch(SQL["look_after"], list(leases.keys()), list(leases.values()))
    return {
        (row["id"], row["lease"]): (
            StopReason.LEASE_LOST if row["is_lost"] else StopReason.INTERRUPTED
        )
        for row in rows
    }


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one pass of the reaper did: consumers forgotten, jobs put back, failed and cancelled; which have failed."""

    consumers: int
    redelivered: int
    failed: int
    cancelled: int
    failed_jobs: Sequence[int] = field(default=(), compare=False)

    @property
    def jobs(self) -> int:
        """How many jobs ran in no live consumer."""
        return self.redelivered + self.failed + self.cancelled


async def reap(
    connection: Connection, *, crashes_allowed: int, limit: int = 500, only_free: bool = False
) -> Reaped:
    """Jobs that run in no live consumer run again, fail or are cancelled; what the dead had taken is free again.

    So many jobs and messages at most; `only_free`: no job that another transaction has in hand. The caller opens the
    transaction.
    """
    dead = [row["id"] for row in await connection.fetch(SQL["dead_consumers"], limit)]
    await connection.execute(SQL["release_messages"], limit)
    orphans = await _orphans(connection, dead, limit, only_free=only_free)
    rows = await _reap_orphans(connection, orphans, crashes_allowed)
    forgotten = await connection.fetch(SQL["forget_consumers"], dead) if dead else []
    statuses = [row["status"] for row in rows]
    return Reaped(
        consumers=len(forgotten),
        redelivered=statuses.count(JobStatus.FAILED_REDELIVERED),
        failed=statuses.count(JobStatus.FAILED),
        cancelled=statuses.count(JobStatus.CANCELLED),
        failed_jobs=[row["id"] for row in rows if row["status"] == JobStatus.FAILED],
    )


async def _orphans(
    connection: Connection, dead: Sequence[UUID], limit: int, *, only_free: bool
) -> Sequence[int]:
    looked_at = limit * PAGES_LOOKED_AT if only_free else limit
    ids = [row["id"] for row in await connection.fetch(SQL["orphans"], dead, looked_at)]
    if not only_free:
        return ids
    locked = await locked_children(connection, ids)
    return [each for each in ids if each not in locked][:limit]


async def _reap_orphans(
    connection: Connection, orphans: Sequence[int], crashes_allowed: int
) -> Sequence[asyncpg.Record]:
    if not orphans:
        return []
    await lock_roots_of(connection, orphans)
    rows = await connection.fetch(SQL["reap"], orphans, crashes_allowed)
    again = [next_message(row) for row in rows if row["status"] == JobStatus.FAILED_REDELIVERED]
    await insert_messages(connection, again)
    await insert_dead_letters(connection, [_letter(row) for row in rows if _is_given_up(row)])
    moves = [Moved(row["root_id"], JobStatus(row["status"])) for row in rows]
    if moves:
        await move_roots(connection, moves)
    return rows


def _is_given_up(row: asyncpg.Record) -> bool:
    return row["status"] == JobStatus.FAILED and row["topic"] is not None


def _letter(row: asyncpg.Record) -> DeadLetter:
    return DeadLetter(next_message(row), "crashed", row["error"])
