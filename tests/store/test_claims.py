"""Claims: decided by the row, whatever messages say."""

import asyncio
from uuid import UUID, uuid4

import pytest

from mqjobs.model.status import JobStatus
from mqjobs.store.claims import Answer, Claim, Granted, NotAlive, Refused, claim_children
from tests.support.stored_jobs import StoredJobs, connected


async def claim(
    work: StoredJobs, job_id: int, consumer_id: UUID | None = None, claim_id: UUID | None = None
) -> Answer:
    asked = Claim(job_id, claim_id or uuid4(), consumer_id or await work.consumer())
    return await work.claim(asked)


async def test_a_new_child_is_granted_under_its_first_lease_and_its_root_runs(
    work: StoredJobs,
) -> None:
    root, consumer_id = await work.root(), await work.consumer()

    answer = await claim(work, root.own_child_id, consumer_id)

    assert isinstance(answer, Granted)
    job = answer.job
    assert (job.status, job.lease, job.attempt) == (JobStatus.RUNNING, 1, 1)
    assert (job.consumer_id, job.root_id) == (consumer_id, root.id)
    assert job.started_at is not None
    assert await work.status(root.id) is JobStatus.RUNNING


async def test_the_root_has_begun_when_its_own_child_has_and_not_when_another_did(
    work: StoredJobs,
) -> None:
    async def started_at(job_id: int) -> object:
        return await work.connection.fetchval(
            "SELECT started_at FROM mqjobs.job WHERE id = $1", job_id
        )

    root = await work.root()
    own = await work.run(root.own_child_id)
    began = await started_at(root.id)
    assert began is not None
    [child] = await work.children(own, "one")

    await work.run(child)

    assert await started_at(root.id) == began


async def test_a_child_that_runs_in_a_live_consumer_is_refused_and_shown(work: StoredJobs) -> None:
    running = await work.run((await work.root()).own_child_id)

    assert await claim(work, running.id) == Refused(running)


async def test_asking_again_with_the_same_claim_finds_it_granted(work: StoredJobs) -> None:
    root, claim_id, consumer_id = await work.root(), uuid4(), await work.consumer()

    first = await claim(work, root.own_child_id, consumer_id, claim_id)
    again = await claim(work, root.own_child_id, consumer_id, claim_id)

    assert first == again
    assert isinstance(again, Granted)


async def test_a_claim_whose_run_has_ended_is_not_granted_again(work: StoredJobs) -> None:
    root, claim_id, consumer_id = await work.root(), uuid4(), await work.consumer()
    first = await claim(work, root.own_child_id, consumer_id, claim_id)
    assert isinstance(first, Granted)
    await work.end(first.job, JobStatus.SUCCESS)

    again = await claim(work, root.own_child_id, consumer_id, claim_id)

    assert isinstance(again, Refused)


async def test_what_runs_in_a_dead_consumer_is_taken_over_under_the_next_lease(
    work: StoredJobs,
) -> None:
    lost = await work.run((await work.root()).own_child_id, await work.consumer(alive=False))

    answer = await claim(work, lost.id)

    assert isinstance(answer, Granted)
    assert (answer.job.lease, answer.job.attempt) == (lost.lease + 1, lost.attempt)


async def test_a_job_under_which_consumers_die_again_and_again_is_taken_over_no_more(
    work: StoredJobs,
) -> None:
    job_id = (await work.root()).own_child_id

    answers = [await claim(work, job_id, await work.consumer(alive=False)) for _ in range(4)]

    assert [type(answer) for answer in answers] == [Granted, Granted, Granted, Refused]


@pytest.mark.parametrize("status", [JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED])
async def test_an_ended_child_is_refused_with_its_outcome(
    work: StoredJobs, status: JobStatus
) -> None:
    job = await work.run((await work.root()).own_child_id)
    await work.end(job, status)

    answer = await claim(work, job.id)

    assert isinstance(answer, Refused)
    assert answer.job is not None
    assert answer.job.status is status


async def test_neither_a_root_nor_an_unknown_id_can_be_claimed(work: StoredJobs) -> None:
    root = await work.root()

    assert await claim(work, root.id) == Refused(None)
    assert await claim(work, 2**40) == Refused(None)


async def test_of_claims_for_one_job_in_a_batch_one_is_granted(work: StoredJobs) -> None:
    one, two, consumer_id = await work.root("one"), await work.root("two"), await work.consumer()
    asked = [
        Claim(job_id, uuid4(), consumer_id)
        for job_id in (one.own_child_id, two.own_child_id, one.own_child_id)
    ]

    answers = await claim_children(work.connection, asked, crashes_allowed=3)

    assert isinstance(answers[1], Granted)
    assert sorted(type(answers[place]).__name__ for place in (0, 2)) == ["Granted", "Refused"]


async def test_of_consumers_that_ask_at_once_one_is_granted(database_url: str) -> None:
    async with connected(database_url) as connection:
        root = await StoredJobs(connection).root()
        consumer_id = await StoredJobs(connection).consumer()

    async def ask() -> Answer:
        async with connected(database_url) as connection, connection.transaction():
            return await claim(StoredJobs(connection), root.own_child_id, consumer_id)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask()) for _ in range(6)]

    assert sum(isinstance(task.result(), Granted) for task in tasks) == 1


async def test_a_consumer_that_is_dead_itself_is_granted_nothing_and_told_so(
    work: StoredJobs,
) -> None:
    root, dead = await work.root(), await work.consumer(alive=False)
    asked = [Claim(root.own_child_id, uuid4(), each) for each in (dead, uuid4())]

    answers = await claim_children(work.connection, asked, crashes_allowed=3)

    assert answers == [NotAlive(), NotAlive()]
    assert await work.status(root.own_child_id) is JobStatus.NEW


async def test_a_dead_consumer_is_told_what_has_ended_all_the_same(work: StoredJobs) -> None:
    job, dead = await work.run((await work.root()).own_child_id), await work.consumer(alive=False)
    await work.end(job, JobStatus.SUCCESS)

    [answer] = await claim_children(
        work.connection, [Claim(job.id, uuid4(), dead)], crashes_allowed=3
    )

    assert isinstance(answer, Refused)
