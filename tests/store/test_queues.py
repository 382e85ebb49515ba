"""The message table as queues: what is taken, in which order, by whom, and at what cost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from mqjobs.model.message import Binding
from mqjobs.model.priority import Priority
from mqjobs.store import queues
from mqjobs.store.database import Connection, Pool, open_pool
from mqjobs.store.messages import DeadLetter, bind, insert_dead_letters, insert_messages
from mqjobs.store.queues import (
    QueueCounts,
    TakenMessage,
    bound_topics,
    delete_taken,
    free_all_taken_but,
    free_taken,
    pause,
    pauses,
    queue_counts,
    resume,
    take_messages,
)
from tests.support.envelopes import an_envelope

US, THEM = UUID(int=1), UUID(int=2)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with open_pool(database_url) as pool:
        yield pool


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as connection:
        yield connection


async def put(connection: Connection, *bodies: bytes, queue: str = "q", **fields: object) -> None:
    """Messages wait in a queue, one after the other."""
    for body in bodies:
        await insert_messages(connection, [an_envelope("t", queue=queue, body=body, **fields)])


async def take(
    connection: Connection, *names: str, limit: int = 100, consumer_id: UUID = US
) -> list[TakenMessage]:
    """What a consumer gets of these queues."""
    return await take_messages(connection, names or ("q",), consumer_id=consumer_id, limit=limit)


def bodies(taken: list[TakenMessage]) -> list[bytes]:
    """What was taken, in order."""
    return [message.envelope.body for message in taken]


async def taken_by(connection: Connection, consumer_id: UUID) -> list[bytes]:
    """What the table says that a consumer has."""
    rows = await connection.fetch(
        "SELECT body FROM mqjobs.message WHERE consumer_id = $1 ORDER BY id", consumer_id
    )
    return [row["body"] for row in rows]


async def test_the_most_urgent_are_taken_and_among_them_the_oldest(connection: Connection) -> None:
    await put(connection, b"low 1", b"low 2", priority=Priority.LOW)
    await put(connection, b"high 1", b"high 2", priority=Priority.HIGH)
    await put(connection, b"normal", priority=Priority.NORMAL)
    assert bodies(await take(connection, limit=4)) == [b"high 1", b"high 2", b"normal", b"low 1"]
    assert bodies(await take(connection, limit=4)) == [b"low 2"]


async def test_what_is_not_due_is_not_taken(connection: Connection) -> None:
    await put(connection, b"later", delay=timedelta(hours=1))
    await put(connection, b"now")
    assert bodies(await take(connection)) == [b"now"]


async def test_only_these_queues_are_taken_from(connection: Connection) -> None:
    await put(connection, b"q")
    await put(connection, b"r", queue="r")
    await insert_messages(connection, [an_envelope("nobody.is.bound")])
    assert bodies(await take(connection, "r")) == [b"r"]


async def test_dead_letters_are_not_taken(connection: Connection) -> None:
    await insert_dead_letters(connection, [DeadLetter(an_envelope("t", queue="q"), "rejected", "")])
    assert await take(connection) == []


async def test_each_time_that_a_message_is_taken_counts(connection: Connection) -> None:
    await put(connection, b"again")
    for times in (1, 2, 3):
        [message] = await take(connection)
        assert message.deliveries == times
        await free_taken(connection, US, [message.row_id])


async def test_no_message_is_taken_twice_by_many_at_once(pool: Pool) -> None:
    async def take_some(consumer_id: UUID) -> list[bytes]:
        async with pool.acquire() as connection:
            found: list[bytes] = []
            while taken := await take(connection, limit=7, consumer_id=consumer_id):
                found += bodies(taken)
            return found

    async with pool.acquire() as connection:
        await put(connection, *[b"%d" % number for number in range(300)])
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(take_some(uuid7())) for _ in range(8)]
    found = [body for task in tasks for body in task.result()]
    assert len(found) == len(set(found)) == 300


async def test_what_another_is_just_taking_is_passed_over(pool: Pool) -> None:
    async with pool.acquire() as one, pool.acquire() as two:
        await put(one, b"first", b"second", b"third")
        async with one.transaction():
            assert bodies(await take(one, limit=1)) == [b"first"]
            assert bodies(await take(two, limit=1, consumer_id=THEM)) == [b"second"]


async def test_what_is_done_is_gone_where_it_is_still_ours(connection: Connection) -> None:
    await put(connection, b"ours", b"theirs")
    [ours] = await take(connection, limit=1)
    [theirs] = await take(connection, limit=1, consumer_id=THEM)
    await delete_taken(connection, US, [ours.row_id, theirs.row_id, 10**9])
    assert await taken_by(connection, US) == []
    assert await taken_by(connection, THEM) == [b"theirs"]


async def test_what_is_freed_can_be_taken_where_it_was_still_ours(connection: Connection) -> None:
    await put(connection, b"ours", b"theirs")
    [ours] = await take(connection, limit=1)
    [theirs] = await take(connection, limit=1, consumer_id=THEM)
    await free_taken(connection, US, [ours.row_id, theirs.row_id])
    assert bodies(await take(connection)) == [b"ours"]
    assert await taken_by(connection, THEM) == [b"theirs"]


async def test_all_that_nobody_knows_of_is_freed(connection: Connection) -> None:
    await put(connection, b"known", b"lost")
    await put(connection, b"elsewhere", queue="r")
    known, _ = await take(connection)
    await take(connection, "r")
    await free_all_taken_but(connection, US, ["q"], {known.row_id})
    assert await taken_by(connection, US) == [b"known", b"elsewhere"]


async def test_a_pause_lasts_until_it_is_resumed_and_says_who_made_it(
    connection: Connection,
) -> None:
    assert await pause(connection, "r", by="ann")
    assert await pause(connection, "q", by="bob")
    assert not await pause(connection, "q", by="ann")
    first, second = await pauses(connection)
    assert [(first.queue, first.paused_by), (second.queue, second.paused_by)] == [
        ("q", "bob"),
        ("r", "ann"),
    ]
    assert await resume(connection, "q")
    assert not await resume(connection, "q")
    assert [each.queue for each in await pauses(connection)] == ["r"]


async def test_counts_tell_what_is_due_what_is_taken_and_who_consumes(
    connection: Connection,
) -> None:
    await bind(connection, [Binding("bound", "t")])
    await put(connection, b"1", b"2", b"3")
    await put(connection, b"later", delay=timedelta(hours=1))
    await take(connection, limit=1)
    await put(connection, b"held", queue="held")
    await take(connection, "held")
    await connection.execute(
        "INSERT INTO mqjobs.consumer (id, host, pid, version, queues, alive_until) "
        "VALUES ($1, 'h', 1, '0', '{q,r}', now() + interval '1 minute'), "
        "($2, 'h', 2, '0', '{q}', now() + interval '1 minute'), "
        "($3, 'h', 3, '0', '{q}', now() - interval '1 minute')",
        US,
        THEM,
        uuid7(),
    )
    assert await queue_counts(connection, ["absent", "q", "bound", "held"]) == [
        QueueCounts("q", ready=2, unacknowledged=1, consumers=2),
        QueueCounts("bound", ready=0, unacknowledged=0, consumers=0),
        QueueCounts("held", ready=0, unacknowledged=1, consumers=0),
    ]


async def test_topics_are_bound_or_not(connection: Connection) -> None:
    await bind(connection, [Binding("q", "a"), Binding("r", "a"), Binding("q", "b")])
    assert await bound_topics(connection, ["a", "c"]) == {"a"}


async def test_taking_costs_the_same_however_much_waits_for_later(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO mqjobs.message (message_id, topic, queue, body, priority, available_at) "
        "SELECT gen_random_uuid(), 't', 'q', '', n % 5, now() + interval '1 day' "
        "FROM generate_series(1, 50000) AS n"
    )
    await put(connection, *[b"%d" % number for number in range(500)])
    await connection.execute("ANALYZE mqjobs.message")
    plan = await explain_taking(connection, limit=10)
    assert "message_in_queue" in plan, plan
    assert "Seq Scan on message" not in plan, plan
    assert "Sort" not in plan, plan
    read = max(int(float(line.split("rows=")[-1].split()[0])) for line in actual_lines(plan))
    assert read <= 25, plan


def actual_lines(plan: str) -> list[str]:
    """What each step of a plan read, where it ran."""
    return [line.partition("actual")[2] for line in plan.splitlines() if "actual" in line]


async def explain_taking(connection: Connection, *, limit: int) -> str:
    """What the database does to take messages."""
    levels = [int(priority) for priority in sorted(Priority, reverse=True)]
    rows = await connection.fetch(
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) " + queues.SQL["take_messages"],
        ["q"] * len(levels),
        levels,
        US,
        limit,
    )
    return "\n".join(row[0] for row in rows)
