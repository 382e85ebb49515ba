"""Interrupts: what has not started never will, what runs is asked to stop, what has ended stays."""

from uuid import UUID

import pytest

from mqjobs.model.errors import UnknownJob
from mqjobs.model.interruption import Interruption
from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.store.interrupts import cancel_if_new, cancel_unread, interrupt
from mqjobs.store.retries import retry
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import TOPIC, StoredJobs


async def a_root(work: StoredJobs, *names: str) -> tuple[Job, list[int]]:
    """A running own child, and new delayed children beside it."""
    own = await work.run((await work.root()).own_child_id)
    return own, await work.children(own, *names)


async def is_asked_to_stop(work: StoredJobs, job_id: int) -> bool:
    return bool(
        await work.connection.fetchval("SELECT interrupted FROM mqjobs.job WHERE id = $1", job_id)
    )


async def statuses(work: StoredJobs, *ids: int) -> list[JobStatus | None]:
    return [await work.status(each) for each in ids]


async def test_a_child_that_has_not_started_is_cancelled_at_once(work: StoredJobs) -> None:
    own, [child] = await a_root(work, "one")

    assert await interrupt(work.connection, child) is Interruption.CANCELLED

    assert await statuses(work, child, own.id) == [JobStatus.CANCELLED, JobStatus.RUNNING]


async def test_a_child_that_runs_is_asked_to_stop(work: StoredJobs) -> None:
    _, [child] = await a_root(work, "one")
    await work.run(child)

    assert await interrupt(work.connection, child) is Interruption.STOPPING

    assert await work.status(child) is JobStatus.RUNNING
    assert await is_asked_to_stop(work, child)


async def test_a_child_whose_consumer_is_gone_is_cancelled_at_once(work: StoredJobs) -> None:
    _, [child] = await a_root(work, "one")
    await work.run(child, await work.consumer(alive=False))

    assert await interrupt(work.connection, child) is Interruption.CANCELLED


async def test_what_has_ended_stays_as_it_is_and_the_answer_says_so(work: StoredJobs) -> None:
    root_id = await work.ended_root("work", JobStatus.FAILED, ["one"])
    ids = [
        row["id"]
        for row in await work.connection.fetch(
            "SELECT id FROM mqjobs.job WHERE root_id = $1", root_id
        )
    ]
    before = await statuses(work, root_id, *ids)

    for each in (root_id, *ids):
        assert await interrupt(work.connection, each) is Interruption.ENDED_BEFORE

    assert await statuses(work, root_id, *ids) == before


async def test_a_root_that_nobody_has_started_is_cancelled_at_once(work: StoredJobs) -> None:
    root = await work.root()

    assert await interrupt(work.connection, root.id) is Interruption.CANCELLED

    assert await statuses(work, root.id, root.own_child_id) == [JobStatus.CANCELLED] * 2


async def test_a_root_lets_what_runs_end_and_cancels_what_waits(work: StoredJobs) -> None:
    own, [running, waiting] = await a_root(work, "running", "waiting")
    job = await work.run(running)

    assert await interrupt(work.connection, own.root_id or 0) is Interruption.STOPPING

    assert await statuses(work, own.id, running, waiting) == [
        JobStatus.RUNNING,
        JobStatus.RUNNING,
        JobStatus.CANCELLED,
    ]
    assert not await is_asked_to_stop(work, own.id)
    await work.end(job, JobStatus.SUCCESS)
    await work.end(own, JobStatus.SUCCESS)
    assert await statuses(work, running, own.root_id or 0) == [
        JobStatus.SUCCESS,
        JobStatus.CANCELLED,
    ]


async def test_an_interrupted_root_in_which_nothing_waited_is_cancelled_when_all_have_ended(
    work: StoredJobs,
) -> None:
    own, [running] = await a_root(work, "running")
    job = await work.run(running)
    await interrupt(work.connection, own.root_id or 0)

    await work.end(job, JobStatus.SUCCESS)
    await work.end(own, JobStatus.SUCCESS)

    assert await work.status(own.root_id or 0) is JobStatus.CANCELLED


async def test_a_root_without_delayed_children_is_stopped_like_a_child(work: StoredJobs) -> None:
    own, _ = await a_root(work)

    assert await interrupt(work.connection, own.root_id or 0) is Interruption.STOPPING

    assert await is_asked_to_stop(work, own.id)


async def test_a_root_that_ran_in_a_consumer_that_is_gone_is_cancelled_at_once(
    work: StoredJobs,
) -> None:
    root = await work.root()
    await work.run(root.own_child_id, await work.consumer(alive=False))

    assert await interrupt(work.connection, root.id) is Interruption.CANCELLED

    assert (await work.root()).created


async def test_interrupting_twice_is_interrupting_once(work: StoredJobs) -> None:
    own, [child] = await a_root(work, "one")
    await work.run(child)

    assert [await interrupt(work.connection, child) for _ in range(2)] == [
        Interruption.STOPPING
    ] * 2
    assert [await interrupt(work.connection, own.root_id or 0) for _ in range(2)] == [
        Interruption.STOPPING
    ] * 2


async def test_a_job_that_nobody_knows_cannot_be_interrupted(work: StoredJobs) -> None:
    with pytest.raises(UnknownJob, match="there is no job 77: see mqjobs jobs list"):
        await interrupt(work.connection, 77)


async def rooted(work: StoredJobs, name: str, message_id: UUID) -> int:
    return (await work.root(name, an_envelope(TOPIC, id=message_id))).id


async def test_roots_of_an_owner_that_nobody_started_are_cancelled_by_name_or_all(
    work: StoredJobs,
) -> None:
    owner = an_envelope().id
    one, two = await rooted(work, "one", owner), await rooted(work, "two", owner)
    foreign = (await work.root("foreign")).id

    assert await cancel_if_new(work.connection, str(owner), "one") == 1
    assert await statuses(work, one, two, foreign) == [
        JobStatus.CANCELLED,
        JobStatus.NEW,
        JobStatus.NEW,
    ]
    assert await cancel_if_new(work.connection, str(owner)) == 1
    assert await cancel_if_new(work.connection, str(owner)) == 0
    assert await statuses(work, two, foreign) == [JobStatus.CANCELLED, JobStatus.NEW]


async def test_a_root_that_somebody_started_is_not_cancelled_as_new(work: StoredJobs) -> None:
    owner = an_envelope().id
    root = await work.root("work", an_envelope(TOPIC, id=owner))
    await work.run(root.own_child_id)

    assert await cancel_if_new(work.connection, str(owner)) == 0

    assert await work.status(root.id) is JobStatus.RUNNING


async def retried(work: StoredJobs, owner: UUID) -> tuple[int, int, int]:
    """A root that was retried, with the own child that waits for its message, and a delayed one that waits, too."""
    root = await work.root("work", an_envelope(TOPIC, id=owner))
    own = await work.run(root.own_child_id)
    [child] = await work.children(own, "one")
    await work.end(await work.run(child), JobStatus.FAILED)
    await work.end(own, JobStatus.FAILED)
    assert await retry(work.connection, root.id) == 2
    return root.id, own.id, child


async def test_a_retried_root_whose_message_dies_unread_keeps_its_name_no_longer_than_the_others_run(
    work: StoredJobs,
) -> None:
    owner = an_envelope().id
    root_id, own, child = await retried(work, owner)

    assert await cancel_if_new(work.connection, str(owner)) == 1

    assert await statuses(work, root_id, own, child) == [
        JobStatus.RUNNING,
        JobStatus.CANCELLED,
        JobStatus.NEW,
    ]
    await work.end(await work.run(child), JobStatus.SUCCESS)
    assert await work.status(root_id) is JobStatus.CANCELLED
    assert await cancel_if_new(work.connection, str(owner)) == 0


async def test_a_root_that_was_to_be_tried_again_is_cancelled_when_its_message_is_a_dead_letter(
    work: StoredJobs,
) -> None:
    owner = an_envelope().id
    root = await work.root("work", an_envelope(TOPIC, id=owner))
    await work.end(await work.run(root.own_child_id), JobStatus.FAILED_REDELIVERED)

    assert await cancel_if_new(work.connection, str(owner)) == 0
    assert await cancel_unread(work.connection, str(owner)) == 1

    assert await statuses(work, root.id, root.own_child_id) == [JobStatus.CANCELLED] * 2


async def test_a_dead_letter_leaves_what_runs_alone(work: StoredJobs) -> None:
    owner = an_envelope().id
    root = await work.root("work", an_envelope(TOPIC, id=owner))
    await work.run(root.own_child_id)

    assert await cancel_unread(work.connection, str(owner)) == 0

    assert await work.status(root.own_child_id) is JobStatus.RUNNING
