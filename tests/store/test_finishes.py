"""Finishes: the holder of the lease writes the outcome, once, with all that follows from it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.store.finishes import FinishedRun, finish_children
from mqjobs.store.interrupts import interrupt
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import QUEUE, TOPIC, StoredJobs


async def finish(work: StoredJobs, *runs: FinishedRun) -> list[JobStatus | None]:
    return await finish_children(work.connection, runs)


async def row(work: StoredJobs, job_id: int) -> Any:
    return await work.connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", job_id)


async def running(work: StoredJobs, name: str = "work") -> Job:
    return await work.run((await work.root(name)).own_child_id)


async def a_child(work: StoredJobs) -> tuple[Job, Job]:
    """A running own child, and a delayed child that runs, too."""
    own = await running(work)
    [child] = await work.children(own, "one")
    await work.empty_outbox()
    return own, await work.run(child)


@pytest.mark.parametrize(
    ("status", "progress"),
    [(JobStatus.SUCCESS, 1), (JobStatus.FAILED, 0), (JobStatus.CANCELLED, 0)],
)
async def test_the_holder_of_the_lease_ends_the_job_and_with_it_the_root(
    work: StoredJobs, status: JobStatus, progress: float
) -> None:
    job = await running(work)

    assert await finish(work, FinishedRun(job.id, job.lease, status, "why")) == [status]

    ended = await row(work, job.id)
    assert (ended["status"], float(ended["progress"]), ended["error"]) == (status, progress, "why")
    assert ended["stopped_at"] is not None
    assert await work.status(job.root_id or 0) is status


async def test_any_other_lease_writes_nothing(work: StoredJobs) -> None:
    job = await running(work)
    before = await row(work, job.id)

    assert await finish(
        work,
        FinishedRun(job.id, job.lease + 1, JobStatus.SUCCESS),
        FinishedRun(2**40, 1, JobStatus.SUCCESS),
    ) == [None, None]

    assert await row(work, job.id) == before


async def test_finishing_again_because_the_answer_was_lost_finds_it_written(
    work: StoredJobs,
) -> None:
    job = await running(work)
    again = an_envelope(TOPIC, queue=QUEUE)
    run = FinishedRun(job.id, job.lease, JobStatus.FAILED_REDELIVERED, "boom", again)

    assert await finish(work, run) == [JobStatus.FAILED_REDELIVERED]
    assert await finish(work, run) == [JobStatus.FAILED_REDELIVERED]

    assert await work.connection.fetchval("SELECT count(*) FROM mqjobs.message") == 1


async def test_a_job_that_runs_again_has_its_next_message_in_the_outbox(work: StoredJobs) -> None:
    job = await running(work)
    again = an_envelope(TOPIC, queue=QUEUE, attempt=2, delay=timedelta(minutes=5))

    await finish(work, FinishedRun(job.id, job.lease, JobStatus.FAILED_REDELIVERED, "boom", again))

    [message] = await work.connection.fetch("SELECT * FROM mqjobs.message")
    assert (message["message_id"], message["attempt"]) == (again.id, 2)
    waiting = await row(work, job.id)
    assert (waiting["status"], waiting["stopped_at"]) == ("failed_redelivered", None)
    assert await work.status(job.root_id or 0) is JobStatus.RUNNING


@pytest.mark.parametrize(("counts", "attempts"), [(True, 1), (False, 0)])
async def test_a_run_that_was_given_back_does_not_count_as_an_attempt(
    work: StoredJobs, counts: bool, attempts: int
) -> None:
    job = await running(work)

    await finish(
        work,
        FinishedRun(
            job.id, job.lease, JobStatus.FAILED_REDELIVERED, None, an_envelope(TOPIC), counts
        ),
    )

    assert (await row(work, job.id))["attempt"] == attempts


@pytest.mark.parametrize("what", ["child", "root"])
async def test_what_was_interrupted_meanwhile_is_cancelled_instead_of_tried_again(
    work: StoredJobs, what: str
) -> None:
    own, child = await a_child(work)
    await interrupt(work.connection, child.id if what == "child" else own.root_id or 0)
    run = FinishedRun(
        child.id, child.lease, JobStatus.FAILED_REDELIVERED, "boom", an_envelope(TOPIC)
    )

    assert await finish(work, run) == [JobStatus.CANCELLED]

    assert await work.connection.fetchval("SELECT count(*) FROM mqjobs.message") == 0


@pytest.mark.parametrize("status", [JobStatus.SUCCESS, JobStatus.FAILED])
async def test_what_ended_by_itself_before_the_interrupt_was_heard_keeps_its_outcome(
    work: StoredJobs, status: JobStatus
) -> None:
    _, child = await a_child(work)
    await interrupt(work.connection, child.id)

    assert await finish(work, FinishedRun(child.id, child.lease, status)) == [status]


async def test_each_run_of_a_batch_has_its_own_answer_whichever_roots_they_are_of(
    work: StoredJobs,
) -> None:
    own, child = await a_child(work)
    other = await running(work, "other")
    late = replace(child, lease=child.lease - 1)

    answers = await finish(
        work,
        FinishedRun(child.id, child.lease, JobStatus.SUCCESS),
        FinishedRun(late.id, late.lease, JobStatus.FAILED),
        FinishedRun(other.id, other.lease, JobStatus.FAILED),
        FinishedRun(own.id, own.lease, JobStatus.SUCCESS),
    )

    assert answers == [JobStatus.SUCCESS, None, JobStatus.FAILED, JobStatus.SUCCESS]
    assert await work.status(own.root_id or 0) is JobStatus.SUCCESS
    assert await work.status(other.root_id or 0) is JobStatus.FAILED
