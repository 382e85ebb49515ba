"""Consumers: who lives, what they may go on with, and what the dead leave behind."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from mqjobs.model.job import Job
from mqjobs.model.message import Binding
from mqjobs.model.outcome import StopReason
from mqjobs.model.status import JobStatus
from mqjobs.store.consumers import (
    ConsumerInfo,
    Reaped,
    beat,
    deregister,
    look_after,
    reap,
    register,
)
from mqjobs.store.interrupts import interrupt
from mqjobs.store.messages import bind, insert_messages
from mqjobs.store.roots import NewRoot, RootFound, create_root
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import QUEUE, TOPIC, StoredJobs, connected

NOTHING = Reaped(consumers=0, redelivered=0, failed=0, cancelled=0)


async def consumer_row(work: StoredJobs, consumer_id: UUID) -> Any:
    return await work.connection.fetchrow(
        "SELECT *, alive_until - clock_timestamp() AS left FROM mqjobs.consumer WHERE id = $1",
        consumer_id,
    )


async def lost(work: StoredJobs, name: str = "work") -> Job:
    """The own child of a root, that runs in a dead consumer."""
    root = await work.root(name)
    return await work.run(root.own_child_id, await work.consumer(alive=False))


async def test_a_consumer_says_who_it_is_and_lives_for_so_long(work: StoredJobs) -> None:
    info = ConsumerInfo(uuid4(), "host", 7, "1.2", ["a", "b"])

    await register(work.connection, info, timedelta(minutes=1))

    row = await consumer_row(work, info.id)
    assert (row["host"], row["pid"], row["version"], row["queues"]) == (
        "host",
        7,
        "1.2",
        ["a", "b"],
    )
    assert timedelta(seconds=50) < row["left"] <= timedelta(minutes=1)


async def test_a_beat_lengthens_the_life_and_a_forgotten_consumer_hears_it(
    work: StoredJobs,
) -> None:
    consumer_id = await work.consumer(alive=False)

    assert await beat(work.connection, consumer_id, timedelta(minutes=1)) is not None
    assert (await consumer_row(work, consumer_id))["left"] > timedelta(seconds=50)

    await deregister(work.connection, consumer_id)

    assert await beat(work.connection, consumer_id, timedelta(minutes=1)) is None


async def test_of_the_runs_that_are_held_those_to_stop_are_named_with_the_reason(
    work: StoredJobs,
) -> None:
    fine, asked, taken, ended = [
        await work.run((await work.root(name)).own_child_id) for name in "abcd"
    ]
    await interrupt(work.connection, asked.id)
    await work.connection.execute("UPDATE mqjobs.job SET lease = lease + 1 WHERE id = $1", taken.id)
    await work.end(ended, JobStatus.SUCCESS)
    held = {job.id: job.lease for job in (fine, asked, taken, ended)} | {2**40: 1}

    assert await look_after(work.connection, held) == {
        (asked.id, asked.lease): StopReason.INTERRUPTED,
        (taken.id, taken.lease): StopReason.LEASE_LOST,
        (ended.id, ended.lease): StopReason.LEASE_LOST,
        (2**40, 1): StopReason.LEASE_LOST,
    }


async def test_where_all_live_there_is_nothing_to_reap(work: StoredJobs) -> None:
    running = await work.run((await work.root()).own_child_id)

    assert await reap(work.connection, crashes_allowed=3) == NOTHING

    assert await work.status(running.id) is JobStatus.RUNNING


async def test_what_ran_in_a_dead_consumer_is_to_run_again_and_the_attempt_does_not_count(
    work: StoredJobs,
) -> None:
    job = await lost(work)
    assert job.consumer_id is not None

    reaped = await reap(work.connection, crashes_allowed=3)

    assert reaped == Reaped(consumers=1, redelivered=1, failed=0, cancelled=0)
    assert await consumer_row(work, job.consumer_id) is None
    row = await work.connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", job.id)
    assert row is not None
    assert (row["status"], row["attempt"], row["crashes"]) == ("failed_redelivered", 0, 1)
    assert row["lease"] == job.lease + 1
    [message] = await work.connection.fetch("SELECT * FROM mqjobs.message")
    assert (message["message_id"], message["attempt"]) == (row["message_id"], 1)


async def test_what_is_to_run_again_comes_to_the_queue_in_which_the_job_was_created_alone(
    work: StoredJobs,
) -> None:
    await bind(work.connection, [Binding("here", TOPIC), Binding("elsewhere", TOPIC)])
    root = await work.root(envelope=an_envelope(TOPIC, queue="here"))
    await work.run(root.own_child_id, await work.consumer(alive=False))

    await reap(work.connection, crashes_allowed=3)

    [message] = await work.connection.fetch("SELECT * FROM mqjobs.message")
    assert message["queue"] == "here"


async def test_a_job_under_which_consumers_die_again_and_again_has_failed_and_says_so(
    work: StoredJobs,
) -> None:
    job = await lost(work)
    for _ in range(2):
        await reap(work.connection, crashes_allowed=3)
        job = await work.run(job.id, await work.consumer(alive=False))

    assert (await reap(work.connection, crashes_allowed=3)).failed == 1

    row = await work.connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", job.id)
    assert row is not None
    assert row["status"] == "failed"
    assert row["error"] == "the consumer that ran it died (3 of 3 times allowed)"
    assert await work.status(job.root_id or 0) is JobStatus.FAILED


async def test_a_lost_job_that_was_interrupted_is_cancelled(work: StoredJobs) -> None:
    job = await work.run((await work.root()).own_child_id)
    await interrupt(work.connection, job.id)
    await work.connection.execute("DELETE FROM mqjobs.consumer")

    assert (await reap(work.connection, crashes_allowed=3)).cancelled == 1

    assert await work.status(job.id) is JobStatus.CANCELLED


async def test_a_lost_job_that_no_message_started_has_failed(work: StoredJobs) -> None:
    root = await create_root(work.connection, NewRoot("owner", "by hand", None, None))
    assert isinstance(root, RootFound)
    await work.run(root.own_child_id, await work.consumer(alive=False))

    assert (await reap(work.connection, crashes_allowed=3)).failed == 1


async def test_messages_that_the_dead_had_taken_are_free_again(work: StoredJobs) -> None:
    living, dead = await work.consumer(), await work.consumer(alive=False)
    await insert_messages(work.connection, [an_envelope(TOPIC) for _ in range(3)])
    for row_id, owner in zip(
        [row["id"] for row in await work.connection.fetch("SELECT id FROM mqjobs.message")],
        (living, dead, uuid4()),
        strict=True,
    ):
        await work.connection.execute(
            "UPDATE mqjobs.message SET consumer_id = $1 WHERE id = $2", owner, row_id
        )

    await reap(work.connection, crashes_allowed=3)

    owners = await work.connection.fetch("SELECT consumer_id FROM mqjobs.message ORDER BY id")
    assert [row["consumer_id"] for row in owners] == [living, None, None]


async def test_a_pass_has_its_limit_and_a_dead_consumer_is_known_until_nothing_runs_in_it(
    work: StoredJobs,
) -> None:
    dead = await work.consumer(alive=False)
    for name in "abc":
        await work.run((await work.root(name)).own_child_id, dead)

    passes = [await reap(work.connection, crashes_allowed=3, limit=2) for _ in range(3)]

    assert [(each.consumers, each.redelivered) for each in passes] == [(0, 2), (1, 1), (0, 0)]


async def test_reapers_that_meet_reap_once(database_url: str) -> None:
    async with connected(database_url) as one, connected(database_url) as two:
        await lost(StoredJobs(one))
        async with one.transaction():
            first = await reap(one, crashes_allowed=3)
            async with two.transaction():
                await two.execute("SET LOCAL lock_timeout = '5s'")
                meeting = await two.fetch("SELECT id FROM mqjobs.consumer FOR UPDATE SKIP LOCKED")
        async with two.transaction():
            second = await reap(two, crashes_allowed=3)

    assert (first.redelivered, meeting, second) == (1, [], NOTHING)


@pytest.mark.parametrize("queues", [[], [QUEUE]])
async def test_registering_again_is_a_beat(work: StoredJobs, queues: list[str]) -> None:
    info = ConsumerInfo(uuid4(), "host", 7, "1.2", queues)

    await register(work.connection, info, -timedelta(minutes=1))
    await register(work.connection, info, timedelta(minutes=1))

    assert (await consumer_row(work, info.id))["left"] > timedelta(seconds=50)
