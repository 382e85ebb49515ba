"""Purges: what waits is gone, no job waits for ever for a message that is, and what runs goes on."""

from datetime import timedelta
from uuid import uuid4

from mqjobs.model.status import JobStatus
from mqjobs.store.messages import insert_messages
from mqjobs.store.purges import (
    Purged,
    Thrown,
    cancel_jobs_of,
    count_waiting,
    last_message,
    purge,
)
from mqjobs.store.queues import take_messages
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import QUEUE, TOPIC, StoredJobs


async def purged(work: StoredJobs, queue: str = QUEUE, limit: int = 100) -> Purged:
    """What a purge of the queue does."""
    last = await last_message(work.connection)
    return await purge(work.connection, queue, up_to=last, why="purged", limit=limit)


async def messages(work: StoredJobs) -> int:
    """How many rows there are in the message table."""
    count: int = await work.connection.fetchval("SELECT count(*) FROM mqjobs.message")
    return count


async def test_what_waits_now_or_for_later_is_gone_and_no_more(work: StoredJobs) -> None:
    taken, free = an_envelope(TOPIC, queue=QUEUE), an_envelope(TOPIC, queue=QUEUE)
    await insert_messages(work.connection, [taken])
    await take_messages(work.connection, [QUEUE], consumer_id=uuid4(), limit=1)
    later = an_envelope(TOPIC, queue=QUEUE, delay=timedelta(hours=1))
    elsewhere = an_envelope(TOPIC, queue="elsewhere")
    await insert_messages(work.connection, [free, later, elsewhere])
    await work.bury(an_envelope(TOPIC))

    assert await count_waiting(work.connection, QUEUE) == 2
    assert await purged(work, limit=1) == Purged(1, 0)
    assert await purged(work) == Purged(1, 0)
    assert await purged(work) == Purged(0, 0)
    assert await purged(work, "absent") == Purged(0, 0)
    assert await messages(work) == 3


async def test_what_is_sent_after_its_beginning_stays(work: StoredJobs) -> None:
    await insert_messages(work.connection, [an_envelope(TOPIC)])
    last = await last_message(work.connection)
    await insert_messages(work.connection, [an_envelope(TOPIC)])

    gone = await purge(work.connection, QUEUE, up_to=last, why="purged", limit=9)

    assert gone == Purged(1, 0)
    assert await count_waiting(work.connection, QUEUE) == 1


async def test_a_root_that_was_born_with_its_message_is_cancelled_and_its_name_free(
    work: StoredJobs,
) -> None:
    born_with = an_envelope(TOPIC)
    root = await work.root("import", born_with)
    await insert_messages(work.connection, [born_with])

    assert await purged(work) == Purged(1, 1)

    assert await work.status(root.id) is JobStatus.CANCELLED
    assert await work.status(root.own_child_id) is JobStatus.CANCELLED
    error = await work.connection.fetchval(
        "SELECT error FROM mqjobs.job WHERE id = $1", root.own_child_id
    )
    assert error == "purged"
    assert (await work.root("import")).created


async def test_children_that_wait_are_cancelled_and_their_root_ends_with_the_last(
    work: StoredJobs,
) -> None:
    own = await work.run((await work.root()).own_child_id)
    ids = await work.children(own, "one", "two", "three")
    running = await work.run(ids[0])
    retried = await work.run(ids[1])
    await work.end(retried, JobStatus.FAILED_REDELIVERED)

    gone = await purged(work)

    assert gone == Purged(3, 2)
    assert [await work.status(each) for each in ids] == [
        JobStatus.RUNNING,
        JobStatus.CANCELLED,
        JobStatus.CANCELLED,
    ]
    await work.end(own, JobStatus.SUCCESS)
    assert await work.status(own.root_id or 0) is JobStatus.RUNNING
    await work.end(running, JobStatus.SUCCESS)
    assert await work.status(own.root_id or 0) is JobStatus.CANCELLED


async def test_a_job_whose_retry_waits_is_cancelled(work: StoredJobs) -> None:
    born_with = an_envelope(TOPIC)
    root = await work.root("import", born_with)
    own = await work.run(root.own_child_id)
    await work.end(own, JobStatus.FAILED_REDELIVERED)
    await insert_messages(
        work.connection, [born_with.again(QUEUE, timedelta(minutes=1), attempt=2)]
    )

    assert (await purged(work)).jobs == 1

    assert await work.status(root.id) is JobStatus.CANCELLED


async def test_a_message_that_claims_another_ones_job_cancels_nothing(work: StoredJobs) -> None:
    own = await work.run((await work.root()).own_child_id)
    [child] = await work.children(own, "one")
    forged = [Thrown(uuid4(), child), Thrown(uuid4(), own.root_id), Thrown(uuid4(), 10**15)]

    assert await cancel_jobs_of(work.connection, forged, QUEUE, why="purged") == 0

    assert await work.status(child) is JobStatus.NEW


async def test_a_copy_in_another_queue_keeps_the_root_that_was_made_there(work: StoredJobs) -> None:
    elsewhere = an_envelope(TOPIC, queue="elsewhere")
    root = await work.root("there", elsewhere)

    copy = [Thrown(elsewhere.id, None)]
    assert await cancel_jobs_of(work.connection, copy, QUEUE, why="purged") == 0
    assert await cancel_jobs_of(work.connection, copy, "elsewhere", why="purged") == 1

    assert await work.status(root.id) is JobStatus.CANCELLED
