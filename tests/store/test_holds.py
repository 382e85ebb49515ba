"""Held messages: one's own while one lives, and everybody's afterwards."""

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg

from mqjobs.store import holds
from mqjobs.store.consumers import deregister, reap
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import QUEUE, TOPIC, StoredJobs

ENVELOPE = an_envelope(TOPIC, queue=QUEUE, headers={"tenant": "nord"}, attempt=2)


async def held(work: StoredJobs, consumer_id: UUID) -> int:
    row_id = await holds.reserve_id(work.connection)
    await holds.hold(work.connection, row_id, ENVELOPE, consumer_id=consumer_id)
    return row_id


async def messages(work: StoredJobs) -> list[asyncpg.Record]:
    return await work.connection.fetch(
        "SELECT *, available_at - clock_timestamp() AS wait FROM mqjobs.message ORDER BY id"
    )


async def test_a_held_message_bears_its_consumers_name_and_is_all_there(work: StoredJobs) -> None:
    consumer_id = await work.consumer()

    await held(work, consumer_id)

    [row] = await messages(work)
    assert (row["message_id"], row["queue"], row["attempt"]) == (ENVELOPE.id, QUEUE, 2)
    assert (row["consumer_id"], row["is_held"], row["crashes"]) == (consumer_id, True, 0)
    assert row["headers"] == {"tenant": "nord"}


async def test_holding_again_because_the_answer_was_lost_holds_once(work: StoredJobs) -> None:
    consumer_id = await work.consumer()
    row_id = await held(work, consumer_id)

    await holds.hold(work.connection, row_id, ENVELOPE, consumer_id=consumer_id)

    assert len(await messages(work)) == 1


async def test_a_held_message_that_is_done_is_gone(work: StoredJobs) -> None:
    consumer_id = await work.consumer()
    row_id = await held(work, consumer_id)

    await holds.drop(work.connection, row_id, consumer_id=uuid4())
    assert len(await messages(work)) == 1
    await holds.drop(work.connection, row_id, consumer_id=consumer_id)

    assert await messages(work) == []


async def test_a_held_message_that_is_wanted_again_comes_after_its_delay(work: StoredJobs) -> None:
    consumer_id = await work.consumer()
    row_id = await held(work, consumer_id)

    await holds.let_come(
        work.connection,
        row_id,
        consumer_id=consumer_id,
        delay=timedelta(minutes=1),
        counts_as_attempt=True,
        has_ended=True,
    )

    [row] = await messages(work)
    assert (row["consumer_id"], row["is_held"], row["attempt"]) == (None, False, 3)
    assert timedelta(seconds=50) < row["wait"] <= timedelta(minutes=1)


async def test_what_a_dead_consumer_held_is_free_and_one_crash_is_counted(
    work: StoredJobs,
) -> None:
    await held(work, await work.consumer(alive=False))

    for _ in range(2):
        await reap(work.connection, crashes_allowed=3)

    [row] = await messages(work)
    assert (row["consumer_id"], row["is_held"], row["crashes"]) == (None, False, 1)


async def test_what_a_live_consumer_holds_stays(work: StoredJobs) -> None:
    await held(work, await work.consumer())

    await reap(work.connection, crashes_allowed=3)

    assert [row["is_held"] for row in await messages(work)] == [True]


async def test_a_consumer_that_leaves_in_peace_lets_go_and_no_crash_is_counted(
    work: StoredJobs,
) -> None:
    consumer_id = await work.consumer()
    await held(work, consumer_id)

    await holds.let_all_come(work.connection, consumer_id)
    await deregister(work.connection, consumer_id)
    await reap(work.connection, crashes_allowed=3)

    [row] = await messages(work)
    assert (row["consumer_id"], row["is_held"], row["crashes"]) == (None, False, 0)


async def test_an_attempt_that_has_ended_clears_the_message_of_its_crashes(
    work: StoredJobs,
) -> None:
    consumer_id = await work.consumer()
    row_id = await held(work, consumer_id)
    await work.connection.execute("UPDATE mqjobs.message SET crashes = 2")

    await holds.let_come(
        work.connection,
        row_id,
        consumer_id=consumer_id,
        delay=timedelta(0),
        counts_as_attempt=False,
        has_ended=True,
    )

    assert [row["crashes"] for row in await messages(work)] == [0]
