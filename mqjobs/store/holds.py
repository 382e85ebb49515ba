"""Held messages: kept for a consumer that acts on them, and for others once it is dead.

A message whose delivery was acknowledged before its attempt has ended is held: it is a row in the outbox that bears
the name of its consumer. The reaper frees it when that consumer has died, and counts one crash more.
"""

import json
from datetime import timedelta
from uuid import UUID

from mqjobs.model.message import Envelope
from mqjobs.store.database import Connection
from mqjobs.store.statements import statements

SQL = statements("holds")


async def reserve_id(connection: Connection) -> int:
    """The id of a row that no other message will have."""
    row_id: int = await connection.fetchval(SQL["reserve_id"])
    return row_id


async def hold(
    connection: Connection, row_id: int, envelope: Envelope, *, consumer_id: UUID
) -> None:
    """The message is held under this reserved id; doing it again changes nothing."""
    await connection.execute(
        SQL["hold"],
        row_id,
        envelope.id,
        envelope.topic,
        envelope.queue,
        envelope.body,
        json.dumps(dict(envelope.headers)),
        int(envelope.priority),
        envelope.attempt,
        envelope.job_id,
        envelope.sent_at,
        envelope.expires_at,
        envelope.crashes,
        consumer_id,
    )


async def let_come(
    connection: Connection,
    row_id: int,
    *,
    consumer_id: UUID,
    delay: timedelta,
    counts_as_attempt: bool,
    has_ended: bool,
) -> None:
    """The message comes again after the delay. `has_ended`: its attempt did, so that no crash of it counts.

    Where the consumer was declared dead, it has come already and nothing changes.
    """
    await connection.execute(
        SQL["let_come"], row_id, consumer_id, delay, int(counts_as_attempt), has_ended
    )


async def drop(connection: Connection, row_id: int, *, consumer_id: UUID) -> None:
    """The message is done. Where the consumer was declared dead, it is another's and stays."""
    await connection.execute(SQL["drop_held"], row_id, consumer_id)


async def let_all_come(connection: Connection, consumer_id: UUID) -> None:
    """Whatever this consumer still has is free, and counts no crash."""
    await connection.execute(SQL["let_all_come"], consumer_id)
