"""The message table: what is written down comes back as it was."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mqjobs.model.message import Binding, Envelope
from mqjobs.model.priority import Priority
from mqjobs.store.database import Connection
from mqjobs.store.messages import (
    DeadLetter,
    bind,
    bindings,
    database_now,
    envelope_of,
    insert_dead_letters,
    insert_messages,
    storable,
)
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import QUEUE, TOPIC

FULL = an_envelope(
    TOPIC,
    queue="slow",
    body=b"\x00\xff{",
    priority=Priority.VERY_HIGH,
    headers={"tenant": "Łódź", "empty": ""},
    attempt=3,
    job_id=2**40,
    sent_at=datetime(2031, 5, 17, 3, 4, 5, 678901, tzinfo=UTC),
    expires_at=datetime(2032, 1, 1, tzinfo=UTC),
)


async def rows(connection: Connection) -> list[Any]:
    return await connection.fetch("SELECT * FROM mqjobs.message ORDER BY id")


async def test_a_message_comes_back_as_it_was_written(connection: Connection) -> None:
    await insert_messages(connection, [FULL])

    [row] = await rows(connection)
    assert envelope_of(row) == FULL


async def test_a_message_goes_to_every_queue_of_its_topic_or_to_the_one_it_names(
    connection: Connection,
) -> None:
    await bind(connection, [Binding("second", TOPIC)])

    await insert_messages(connection, [an_envelope(TOPIC), an_envelope(TOPIC, queue="third")])

    assert sorted(row["queue"] for row in await rows(connection)) == ["second", QUEUE, "third"]


async def test_a_topic_that_no_queue_takes_gives_one_row_without_a_queue(
    connection: Connection,
) -> None:
    await insert_messages(connection, [an_envelope("tests.unbound")])

    assert [row["queue"] for row in await rows(connection)] == [None]


async def test_a_delay_counts_from_when_it_is_written(connection: Connection) -> None:
    await insert_messages(connection, [an_envelope(TOPIC, delay=timedelta(minutes=5))])

    [row] = await rows(connection)
    assert row["available_at"] - await database_now(connection) == timedelta(minutes=5)


async def test_writing_nothing_is_nothing(connection: Connection) -> None:
    await insert_messages(connection, [])
    await insert_dead_letters(connection, [])

    assert await rows(connection) == []


async def test_a_dead_letter_is_kept_with_its_message_and_reason(connection: Connection) -> None:
    await insert_dead_letters(connection, [DeadLetter(FULL, "invalid", "field a: missing")])

    [row] = await rows(connection)
    assert envelope_of(row) == FULL
    assert (row["dead_reason"], row["dead_detail"]) == ("invalid", "field a: missing")
    assert row["dead_at"] is not None


@pytest.mark.parametrize("text", ["a\x00b", "caf\udce9", "\ud83d"])
async def test_texts_that_postgresql_cannot_keep_are_kept_readable(
    connection: Connection, text: str
) -> None:
    stranger = an_envelope(text, headers={text: text}, queue=QUEUE)

    await insert_dead_letters(connection, [DeadLetter(stranger, "unknown_topic", text)])

    [row] = await rows(connection)
    readable = storable(text)
    assert readable.isascii()
    assert (row["topic"], row["dead_detail"], row["headers"]) == (
        readable,
        readable,
        {readable: readable},
    )


async def test_binding_again_changes_nothing(connection: Connection) -> None:
    await bind(connection, [Binding("b", "t"), Binding("a", "t")])
    await bind(connection, [Binding("a", "t"), Binding("a", "s")])

    assert await bindings(connection) == [
        Binding("a", "s"),
        Binding("a", "t"),
        Binding("b", "t"),
        Binding(QUEUE, TOPIC),
    ]


def test_an_envelope_that_is_compared_has_every_field() -> None:
    plain = an_envelope(TOPIC, id=FULL.id)
    same = {
        name
        for name in Envelope.__dataclass_fields__
        if getattr(plain, name) == getattr(FULL, name)
    }

    assert same == {"id", "topic", "delay", "crashes"}
