"""The reconciler's look: counters against a recount. A healthy system gives it nothing to repair."""

from dataclasses import dataclass
from datetime import timedelta

from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.roots import Moved, lock_root, move_roots
from mqjobs.store.statements import statements

SQL = statements("reconciling")


@dataclass(frozen=True, slots=True)
class Page:
    """Roots that were looked at: the last one's id, and those that do not agree with their children."""

    last_id: int
    differing: list[int]


async def take_turn(connection: Connection, name: str, interval: timedelta) -> bool:
    """Whether it is the caller's turn to do what one consumer does for all, once in an interval."""
    return bool(await connection.fetchval(SQL["take_turn"], name, interval))


async def look_at_page(
    connection: Connection, *, quiet_for: timedelta, after: int = 0, limit: int = 100
) -> Page | None:
    """The next active roots by id in which nothing has happened for so long; None: there are no more. Locks nothing."""
    rows = await connection.fetch(SQL["look_at_page"], quiet_for, after, limit)
    if not rows:
        return None
    return Page(rows[-1]["id"], [row["id"] for row in rows if not row["agrees"]])


async def reconcile(connection: Connection, root_id: int) -> str | None:
    """The root's counters are those of its children, and it has ended if they have; what was repaired, or None.

    A root without any children was meddled with by hand, and is left alone. The caller opens the transaction.
    """
    await lock_root(connection, root_id)
    row = await connection.fetchrow(SQL["recount"], root_id)
    if row is None or not row["children"]:
        return None
    counts = [row[name] for name in ("children", "success", "failed", "cancelled", "stale")]
    if not row["agrees"]:
        await connection.execute(SQL["set_counters"], root_id, *counts)
    unended = counts[0] == sum(counts[1:])
    if unended or not row["agrees"]:
        await move_roots(connection, [Moved(root_id, JobStatus.NEW)])
    if not row["agrees"]:
        return "counters"
    return "unended root" if unended else None


async def overdue(connection: Connection, late: timedelta) -> int:
    """How many messages should have gone out so long ago and have not."""
    count: int = await connection.fetchval(SQL["overdue"], late)
    return count
