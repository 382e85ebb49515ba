"""The message table: the outbox, what the Postgres transport carries, and the dead letters."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg

from mqjobs.model.message import Binding, DeadReason, Envelope
from mqjobs.model.priority import Priority
from mqjobs.store.database import Connection
from mqjobs.store.statements import statements

SQL = statements("messages")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that nobody could handle: `detail` says what was wrong.

    `is_first`: the message was never sent before, so that no letter of it is there.
    """

    envelope: Envelope
    reason: DeadReason
    detail: str
    is_first: bool = False


async def insert_messages(connection: Connection, envelopes: Sequence[Envelope]) -> None:
    """The messages are in the outbox, each once for every queue that it goes to."""
    if envelopes:
        await connection.execute(
            SQL["insert_messages"],
            *_columns(envelopes),
            [envelope.delay for envelope in envelopes],
            [envelope.expires_at for envelope in envelopes],
            [envelope.crashes for envelope in envelopes],
        )


async def insert_dead_letters(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """The messages are kept as dead letters, each once: the last letter of a message to a job replaces those before.

    The caller opens the transaction.
    """
    await _drop_older(connection, [letter.envelope for letter in letters if not letter.is_first])
    if letters:
        envelopes = [_with_storable_texts(letter.envelope) for letter in letters]
        await connection.execute(
            SQL["insert_dead_letters"],
            *_columns(envelopes),
            [envelope.expires_at for envelope in envelopes],
            [letter.reason for letter in letters],
            [storable(letter.detail) for letter in letters],
        )


async def _drop_older(connection: Connection, envelopes: Sequence[Envelope]) -> None:
    if envelopes:
        await connection.execute(
            SQL["drop_older_letters"],
            [envelope.id for envelope in envelopes],
            [envelope.queue for envelope in envelopes],
            [envelope.job_id for envelope in envelopes],
        )


async def bind(connection: Connection, bindings: Sequence[Binding]) -> None:
    """The queues take the topics; doing it again changes nothing."""
    there = {(row["topic"], row["queue"]) for row in await connection.fetch(SQL["bindings"])}
    ordered = sorted({(binding.topic, binding.queue) for binding in bindings} - there)
    if not ordered:
        return  # who may send, and declare nothing, need not write what is there
    await connection.execute(
        SQL["bind"], [topic for topic, _ in ordered], [queue for _, queue in ordered]
    )


async def bindings(connection: Connection) -> list[Binding]:
    """Every binding there is, by queue and topic."""
    return [Binding(row["queue"], row["topic"]) for row in await connection.fetch(SQL["bindings"])]


async def database_now(connection: Connection) -> datetime:
    """The time in the database."""
    now: datetime = await connection.fetchval(SQL["database_now"])
    return now


def envelope_of(row: asyncpg.Record) -> Envelope:
    """The message in a row of the message table."""
    return Envelope(
        id=row["message_id"],
        topic=row["topic"],
        body=row["body"],
        priority=Priority(row["priority"]),
        sent_at=row["sent_at"],
        queue=row["queue"],
        headers=row["headers"],
        attempt=row["attempt"],
        job_id=row["job_id"],
        expires_at=row["expires_at"],
        crashes=row["crashes"],
    )


def storable(text: str) -> str:
    """The text with NUL and halves of surrogate pairs written out, for PostgreSQL cannot keep them."""
    return text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def _with_storable_texts(envelope: Envelope) -> Envelope:
    """A stranger's message, so that it can be kept."""
    headers = {storable(name): storable(value) for name, value in envelope.headers.items()}
    return replace(envelope, topic=storable(envelope.topic), headers=headers)


def _columns(envelopes: Sequence[Envelope]) -> tuple[list[object], ...]:
    return (
        [envelope.id for envelope in envelopes],
        [envelope.topic for envelope in envelopes],
        [envelope.queue for envelope in envelopes],
        [envelope.body for envelope in envelopes],
        [json.dumps(dict(envelope.headers)) for envelope in envelopes],
        [int(envelope.priority) for envelope in envelopes],
        [envelope.attempt for envelope in envelopes],
        [envelope.job_id for envelope in envelopes],
        [envelope.sent_at for envelope in envelopes],
    )
