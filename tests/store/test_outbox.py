"""The outbox as the relay sees it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from mqjobs.model.message import Envelope
from mqjobs.store import outbox
from mqjobs.store.database import Connection
from mqjobs.store.messages import DeadLetter, insert_dead_letters, insert_messages
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import TOPIC, connected


async def written(connection: Connection, count: int = 1, **fields: Any) -> list[UUID]:
    envelopes = [an_envelope(TOPIC, **fields) for _ in range(count)]
    await insert_messages(connection, envelopes)
    return [envelope.id for envelope in envelopes]


async def due(
    connection: Connection, limit: int = 100, *, only_unrouted: bool = False
) -> list[UUID]:
    return ids(await outbox.due(connection, limit, only_unrouted=only_unrouted))


def ids(rows: Sequence[tuple[int, Envelope]]) -> list[UUID]:
    return [envelope.id for _, envelope in rows]


async def test_what_is_due_comes_the_oldest_first_and_so_many_at_most(
    connection: Connection,
) -> None:
    late = await written(connection)
    await connection.execute("UPDATE mqjobs.message SET available_at = now()")
    early = await written(connection)
    await connection.execute(
        "UPDATE mqjobs.message SET available_at = now() - interval '1 h' WHERE message_id = $1",
        early[0],
    )

    assert await due(connection) == early + late
    assert await due(connection, 1) == early


async def test_what_is_not_due_dead_or_in_somebodys_hands_is_left_out(
    connection: Connection,
) -> None:
    await written(connection, delay=timedelta(hours=1))
    await insert_dead_letters(connection, [DeadLetter(an_envelope(TOPIC), "failed", "why")])
    await written(connection)
    await connection.execute(
        "UPDATE mqjobs.message SET consumer_id = $1 WHERE available_at <= now() AND dead_at IS NULL",
        uuid4(),
    )

    assert await due(connection) == []


async def test_where_the_outbox_is_the_queue_only_messages_without_a_queue_are_due(
    connection: Connection,
) -> None:
    await written(connection)
    lost = an_envelope("tests.unbound")
    await insert_messages(connection, [lost])

    assert await due(connection, only_unrouted=True) == [lost.id]


async def test_what_one_relay_has_in_hand_another_passes_over(database_url: str) -> None:
    async with connected(database_url) as one, connected(database_url) as two:
        all_of_them = await written(one, 4)
        async with one.transaction(), two.transaction():
            first = await due(one, 3)
            second = await due(two)

    assert (len(first), len(second)) == (3, 1)
    assert sorted(first + second) == sorted(all_of_them)


async def test_what_is_with_the_broker_is_deleted_and_what_it_returned_is_dead(
    connection: Connection,
) -> None:
    await written(connection, 3)
    [one, two, three] = [
        row_id for row_id, _ in await outbox.due(connection, 9, only_unrouted=False)
    ]

    await outbox.delete(connection, [one])
    await outbox.make_dead(connection, [two], reason="unroutable", detail="no queue")

    left = await connection.fetch("SELECT * FROM mqjobs.message ORDER BY id")
    assert [(row["id"], row["dead_reason"], row["dead_detail"]) for row in left] == [
        (two, "unroutable", "no queue"),
        (three, None, None),
    ]


async def test_nothing_is_done_about_nothing(connection: Connection) -> None:
    await written(connection)

    await outbox.delete(connection, [])
    await outbox.make_dead(connection, [], reason="unroutable", detail="no queue")

    assert len(await due(connection)) == 1


async def test_what_waits_in_queues_is_not_looked_at_for_what_has_none(
    connection: Connection,
) -> None:
    await connection.execute(
        "INSERT INTO mqjobs.message (message_id, topic, queue, body, priority) "
        "SELECT gen_random_uuid(), 't', 'q', '', n % 5 FROM generate_series(1, 20000) AS n"
    )
    await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE relay AS {outbox.SQL['due_without_queue']}")

    plan = await connection.fetch("EXPLAIN (ANALYZE, BUFFERS OFF) EXECUTE relay (500)")

    assert not any("Rows Removed by Filter" in line for (line,) in plan), plan


async def test_the_age_of_the_outbox_is_that_of_what_has_been_due_the_longest(
    connection: Connection,
) -> None:
    assert await outbox.oldest_due(connection) is None
    await written(connection, delay=timedelta(hours=1))
    assert await outbox.oldest_due(connection) is None

    [old] = await written(connection)
    await written(connection)
    await connection.execute(
        "UPDATE mqjobs.message SET available_at = now() - interval '2 h' WHERE message_id = $1", old
    )

    age = await outbox.oldest_due(connection)
    assert age is not None
    assert timedelta(hours=2) <= age < timedelta(hours=3)
