"""The job runner: every call, and what it answers where the job does not run."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from mqjobs.model.errors import (
    InvalidJobName,
    JobIsRunning,
    JobIsStale,
    NotInUniqueJob,
    UnknownJob,
)
from mqjobs.model.outcome import StopReason
from mqjobs.model.status import JobStatus
from mqjobs.processing.attempt import Verdict
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from tests.support.processors import never, raising, returning
from tests.support.surroundings import Surroundings
from tests.support.topics import Note, Piece, Work
from tests.support.waiting import eventually

OWNER = "0199b0a0-0000-7000-8000-000000000001"


async def status_of(around: Surroundings, name: str) -> JobStatus:
    found = await around.pool.fetchval(
        "SELECT status FROM mqjobs.job WHERE root_id IS NULL AND name = $1", name
    )
    return JobStatus(found)


async def test_a_unique_job_runs_in_a_root_and_its_own_child(around: Surroundings) -> None:
    handed: list[tuple[JobRunner, RunningJob]] = []

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        handed.append((runner, job))
        return True

    assert await around.runner().run_unique(OWNER, "work", callback) is True

    [(runner, job)] = handed
    assert (job.name, job.owner_id, job.own_child, job.attempt) == ("work", OWNER, True, 1)
    assert (runner.root.id, runner.root.owner_id, runner.root.is_root) == (
        job.root_id,
        OWNER,
        True,
    )
    assert await status_of(around, "work") is JobStatus.SUCCESS


async def test_it_returns_what_the_callback_did_and_raises_what_it_raised(
    around: Surroundings,
) -> None:
    runner = around.runner()

    assert await runner.run_unique(uuid4(), "fails", returning(value=False)) is False
    with pytest.raises(ValueError, match="boom"):
        await runner.run_unique(uuid4(), "raises", raising(ValueError("boom")))

    assert await status_of(around, "fails") is JobStatus.FAILED
    assert await status_of(around, "raises") is JobStatus.FAILED


async def test_a_job_that_has_ended_does_not_run_again_and_its_outcome_is_returned(
    around: Surroundings,
) -> None:
    for name, outcome in (("good", True), ("bad", False)):
        attempt = around.attempt()
        await around.runner().run_unique(OWNER, name, returning(outcome))

        assert await around.runner(attempt).run_unique(OWNER, name, never) is outcome

        assert attempt.verdict is (None if outcome else Verdict.SETTLED)


async def test_where_another_active_root_has_the_name_nothing_runs(around: Surroundings) -> None:
    await around.root("work")

    assert await around.runner().run_unique(OWNER, "work", never) is None


async def test_a_cancelled_root_does_not_run_and_its_message_is_done(around: Surroundings) -> None:
    attempt = around.attempt()
    runner = around.runner(attempt)
    await runner.create_unique(OWNER, "work")
    assert await runner.cancel_unique_if_new(OWNER, "work")

    assert await runner.run_unique(OWNER, "work", never) is None

    assert attempt.verdict is Verdict.SETTLED


async def test_a_job_that_runs_in_a_live_consumer_parks_the_message(around: Surroundings) -> None:
    attempt = around.attempt()
    root = await around.root("work", OWNER)
    await around.claim(root.own_child_id)

    with pytest.raises(JobIsRunning, match=f"job {root.own_child_id} 'work' is run by another"):
        await around.runner(attempt).run_unique(OWNER, "work", never)

    assert attempt.verdict is Verdict.PARK


async def test_a_stale_job_rejects_the_message(around: Surroundings) -> None:
    attempt, root = around.attempt(), await around.root("work", OWNER)
    await around.pool.execute(
        "UPDATE mqjobs.job SET status = 'stale', stopped_at = now(), children_stale = children"
        " WHERE id = $1 OR root_id = $1",
        root.id,
    )

    with pytest.raises(JobIsStale, match="'work' is stale: a newer job has its name"):
        await around.runner(attempt).run_unique(OWNER, "work", never)

    assert attempt.verdict is Verdict.REJECT


async def test_a_unique_job_by_message_is_the_one_that_was_born_with_it(
    around: Surroundings,
) -> None:
    sent = await around.producer.send(Work())
    message = around.message(Work(), id=sent.message_id)

    assert await around.runner().run_unique_by_message(message, returning(value=True)) is True

    assert (await around.job(sent.job_id)).status is JobStatus.SUCCESS


async def test_a_message_without_a_root_runs_nothing_and_says_so(around: Surroundings) -> None:
    attempt, message = around.attempt(), around.message(Work())

    assert await around.runner(attempt).run_unique_by_message(message, never) is None

    assert attempt.detail == f"message {message.id} has no root job 'work'"


async def test_a_message_of_a_topic_that_names_no_job_cannot_run_one(around: Surroundings) -> None:
    with pytest.raises(
        NotInUniqueJob, match=r"topic tests\.note is not job-aware: give it a job_name"
    ):
        await around.runner().run_unique_by_message(around.message(Note()), never)


async def test_a_root_is_created_without_running_it(around: Surroundings) -> None:
    runner = around.runner()

    job = await runner.create_unique(OWNER, "work")

    assert job is not None
    assert (job.status, job.is_root, job.owner_id) == (JobStatus.NEW, True, OWNER)
    assert await runner.create_unique(OWNER, "work") == job
    assert await runner.create_unique(uuid4(), "work") is None


async def test_only_a_root_that_nobody_started_is_cancelled_by_its_owner(
    around: Surroundings,
) -> None:
    runner = around.runner()
    await runner.run_unique(OWNER, "started", returning(value=True))
    await runner.create_unique(OWNER, "new")

    assert not await runner.cancel_unique_if_new(OWNER, "started")
    assert not await runner.cancel_unique_if_new(uuid4(), "new")
    assert await runner.cancel_unique_if_new(OWNER, "new")
    assert await status_of(around, "new") is JobStatus.CANCELLED


@pytest.mark.parametrize(
    ("owner", "name", "says"),
    [
        (OWNER, "", "name is empty"),
        (OWNER, "x" * 256, "has 256 characters"),
        (OWNER, "a\x00", "NUL"),
        ("", "work", "owner '' of job 'work': give a message id"),
        ("o" * 256, "work", "owner 'o+' of job 'work'"),
        ("o\x00", "work", "owner .* of job 'work'"),
    ],
)
async def test_a_name_or_owner_that_a_job_cannot_have_is_refused(
    around: Surroundings, owner: str, name: str, says: str
) -> None:
    runner = around.runner()

    with pytest.raises(InvalidJobName, match=says):
        await runner.run_unique(owner, name, never)
    with pytest.raises(InvalidJobName, match=says):
        await runner.create_unique(owner, name)


async def test_a_delayed_child_runs_with_a_runner_that_cannot_split_it(
    around: Surroundings,
) -> None:
    handed: list[tuple[JobRunner, RunningJob]] = []

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        handed.append((runner, job))
        return True

    async with around.splitting() as splitting:
        child = await splitting.create_delayed("one", Piece())

    assert await around.runner().run_delayed(child.id, callback) is True
    assert await around.runner().run_delayed(child.id, never) is True

    [(runner, job)] = handed
    assert (job.id, job.name, job.own_child) == (child.id, "one", False)
    await cannot_split(runner)


async def cannot_split(runner: JobRunner) -> None:
    says = "works only on the runner that a unique job's callback is handed"
    for call in (
        runner.create_delayed("two", Piece()),
        runner.create_delayed_many([]),
        runner.add_dependent(Note()),
    ):
        with pytest.raises(NotInUniqueJob, match=says):
            await call
    with pytest.raises(NotInUniqueJob, match=f"root {says}"):
        _ = runner.root


async def test_outside_of_a_unique_job_nothing_can_be_split(around: Surroundings) -> None:
    await cannot_split(around.runner())


async def test_a_child_that_nobody_knows_is_an_error_and_its_message_rejected(
    around: Surroundings,
) -> None:
    attempt, root = around.attempt(), await around.root()

    for job_id in (77, root.id):
        with pytest.raises(UnknownJob, match=f"there is no child job {job_id}: it was cleaned up"):
            await around.runner(attempt).run_delayed(job_id, never)

    assert attempt.verdict is Verdict.REJECT
    with pytest.raises(UnknownJob, match="belongs to no delayed child"):
        await around.runner().run_delayed_by_message(around.message(Piece()), never)


async def test_dependent_messages_are_added_with_one_call(around: Surroundings) -> None:
    async with around.splitting() as runner:
        await runner.add_dependent(Note(text="success"), on=JobStatus.SUCCESS)
        await runner.add_dependent(Note(text="failed"), on=JobStatus.FAILED)

    assert [row["body"] for row in await around.outbox()] == [b'{"text":"success"}']


async def test_many_children_are_created_with_one_call(around: Surroundings) -> None:
    async with around.splitting() as runner:
        assert await runner.create_delayed_many((str(n), Piece(number=n)) for n in range(3)) == 3

    assert len(await around.outbox()) == 3


async def test_an_attempt_that_is_stopped_while_it_claims_leaves_nothing_running(
    around: Surroundings,
) -> None:
    async with around.splitting() as runner:
        child = await runner.create_delayed("one", Piece())
    attempt = around.attempt()

    async def run() -> Any:
        with attempt.running():
            return await around.runner(attempt).run_delayed(child.id, never)

    async with asyncio.TaskGroup() as group, around.held_up(child):
        task = group.create_task(run())
        await eventually(around.somebody_waits)
        attempt.stop(StopReason.SHUTDOWN)
        await asyncio.wait([task], timeout=0.05)

    assert task.cancelled()
    assert (await around.job(child.id)).status is JobStatus.FAILED_REDELIVERED
