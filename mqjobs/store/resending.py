"""Messages that were lost after they had left the outbox: the rows of the jobs that wait for them send them again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mqjobs.store.database import Connection
from mqjobs.store.messages import insert_messages
from mqjobs.store.retries import next_message
from mqjobs.store.statements import statements

SQL = statements("resending")


@dataclass(frozen=True, slots=True)
class LostChild:
    """A child that waits for a message that nobody has; root and child, in the order in which they are looked at."""

    root_id: int
    id: int


async def unsure_queues(connection: Connection, since: datetime) -> set[str]:
    """Queues whose live consumers may hold messages that they have not looked at, or have not beaten since then."""
    return {row["queue"] for row in await connection.fetch(SQL["unsure_queues"], since)}


async def somebody_is_silent(connection: Connection, since: datetime) -> bool:
    """Whether some live consumer has not beaten since then."""
    return bool(await connection.fetchval(SQL["somebody_is_silent"], since))


async def lost_children(
    connection: Connection,
    empty: Mapping[str, Sequence[str]],
    *,
    quiet_for: timedelta,
    after: LostChild,
    limit: int,
) -> list[LostChild]:
    """Children whose message is neither in the outbox nor in its queues, as `empty` (topic: queues) has them.

    Only of roots in which nothing has happened for so long.
    """
    rows = await connection.fetch(
        SQL["lost_children"],
        quiet_for,
        list(empty),
        sorted(_queues(empty)),
        after.root_id,
        after.id,
        limit,
    )
    return [LostChild(row["root_id"], row["id"]) for row in rows]


async def resend(
    connection: Connection,
    children: Sequence[LostChild],
    empty: Mapping[str, Sequence[str]],
    *,
    quiet_for: timedelta,
) -> dict[int, list[int]]:
    """Messages of those of these children that still wait are in the outbox; the children by root.

    Roots that somebody has in hand are passed over. The caller opens the transaction.
    """
    roots = sorted({child.root_id for child in children})
    locked = [
        row["id"] for row in await connection.fetch(SQL["lock_quiet_roots"], roots, quiet_for)
    ]
    ids = [child.id for child in children]
    rows = await connection.fetch(
        SQL["mark_resent"], ids, locked, quiet_for, list(empty), sorted(_queues(empty))
    )
    messages = [next_message(row) for row in rows]
    await insert_messages(
        connection,
        [
            replace(message, queue=queue)
            for message in messages
            for queue in ([message.queue] if message.queue else empty.get(message.topic, ()))
        ],
    )
    resent: dict[int, list[int]] = {}
    for row in rows:
        resent.setdefault(row["root_id"], []).append(row["id"])
    return resent


def _queues(empty: Mapping[str, Collection[str]]) -> set[str]:
    return {queue for queues in empty.values() for queue in queues}
