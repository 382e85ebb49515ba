"""The claim (design, section 3): what the job's row says when a message comes decides what happens."""

import asyncio

import pytest

from mqjobs.model.errors import JobIsRunning, JobIsStale, Redeliver
from mqjobs.model.job import Job
from mqjobs.model.message import Message
from mqjobs.model.outcome import StopReason
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.processing.context import Context
from tests.support.consuming import Running, Stage
from tests.support.processors import (
    LATER,
    Gate,
    acting,
    delayed,
    never,
    raising,
    returning,
    splitting,
    unique,
)
from tests.support.topics import Piece, Work
from tests.support.waiting import eventually


async def waiting_child(mq: Running) -> Job:
    """A new delayed child, the last open one of its root, whose message comes only when it is delivered."""
    child = await mq.child_when_there(await mq.start(Work()), "one")
    await mq.settled()
    return child


async def ended_child(mq: Running, status: JobStatus) -> Job:
    """The delayed child, which came to this without code of the test's."""
    child = await waiting_child(mq)
    await mq.finish(await mq.run_elsewhere(child.id), status)
    return await mq.job(child.id)


# --------------------------------------------------------------------------------------------------------- it runs


async def test_a_new_job_is_claimed_and_runs(stage: Stage) -> None:
    gate = Gate()
    gate.open()
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(gate)) as mq:
        child = await waiting_child(mq)
        await mq.deliver_child(child.id)
        child = await mq.end(child.id)

    assert (child.status, child.lease, len(gate.runs)) == (JobStatus.SUCCESS, 1, 1)


async def test_a_failed_redelivered_job_is_claimed_and_runs_under_the_next_lease(
    stage: Stage,
) -> None:
    once = raising(Redeliver(LATER))
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(once)) as mq:
        child = await waiting_child(mq)
        await mq.deliver_child(child.id)
        await mq.until(child.id, JobStatus.FAILED_REDELIVERED)
        await mq.deliver_child(child.id)
        child = await mq.end(child.id)

    assert (child.status, child.lease, child.attempt) == (JobStatus.SUCCESS, 2, 2)


async def test_a_job_whose_consumer_is_dead_is_taken_over_under_the_next_lease(
    either: Stage,
) -> None:
    gate = Gate()
    gate.open()
    async with either.running(unique(splitting("one", delay=LATER)), delayed(gate)) as mq:
        child = await mq.child_when_there(await mq.start(Work()), "one")
        dead = await mq.run_elsewhere(child.id)
        await mq.deliver_child(child.id)
        child = await mq.end(child.id)

    assert (dead.lease, child.lease) == (1, 2)
    assert (child.status, [run.lease for run in gate.runs]) == (JobStatus.SUCCESS, [2])


async def test_a_root_whose_consumer_is_dead_is_taken_over_when_its_message_comes_again(
    stage: Stage,
) -> None:
    gate = Gate()
    async with stage.running(unique(gate), consumers=2) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.vanish(mq.consumer_of(gate.runs[0]))
        await mq.deliver_again(mq.arrived[0])
        await eventually(lambda: len(gate.runs) == 2)
        gate.open()
        root = await mq.end(root_id)

    assert [run.lease for run in gate.runs] == [1, 2]
    assert (root.status, root.children_success) == (JobStatus.SUCCESS, 1)


async def test_of_many_claims_of_one_job_at_once_one_is_granted(either: Stage) -> None:
    gate = Gate()
    split = unique(splitting("one", delay=LATER))
    async with either.running(split, delayed(gate), consumers=2) as mq:
        child = await mq.child_when_there(await mq.start(Work()), "one")
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(mq.deliver_child(child.id))
        await mq.attempts(8)  # the root's own, and seven of the child
        running = await mq.job(child.id)
        gate.open()
        await mq.end(child.id)

    assert (running.status, running.lease, len(gate.runs)) == (JobStatus.RUNNING, 1, 1)


# ------------------------------------------------------------------------------------------- a live consumer runs it


async def test_a_duplicate_of_a_running_job_is_parked_and_nothing_runs(either: Stage) -> None:
    gate = Gate()
    split = unique(splitting("one"))
    async with either.running(split, delayed(gate), consumers=2) as mq:
        child = await mq.child_when_there(await mq.start(Work()), "one")
        await gate.reached()
        message = next(each for each in mq.arrived if each.job_id == child.id)
        await mq.deliver_again(message)
        [duplicate] = await mq.attempts(1, message.id)
        parked = await mq.parked(Piece)
        child = await mq.job(child.id)

    assert isinstance(duplicate.error, JobIsRunning)
    assert (len(gate.runs), child.lease, child.status) == (1, 1, JobStatus.RUNNING)
    assert [(row["attempt"], row["job_id"]) for row in parked] == [(1, child.id)]


async def test_a_duplicate_in_the_same_consumer_is_parked_too(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.deliver_again(mq.arrived[0])
        [duplicate] = await mq.attempts(1)
        parked = await mq.parked(Work)
        gate.open()
        root = await mq.end(root_id)

    assert isinstance(duplicate.error, JobIsRunning)
    assert (len(parked), len(gate.runs), root.status) == (1, 1, JobStatus.SUCCESS)


# --------------------------------------------------------------------------------------------------------- it has ended


@pytest.mark.parametrize(
    ("status", "result"), [(JobStatus.SUCCESS, Result.ACK), (JobStatus.FAILED, Result.REJECT)]
)
async def test_of_an_ended_job_nothing_runs_and_the_processor_ends_by_the_recorded_outcome(
    stage: Stage, status: JobStatus, result: Result
) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        child = await ended_child(mq, status)
        await mq.deliver_child(child.id)
        attempt = (await mq.attempts(2))[-1]
        await mq.settled()
        after = await mq.job(child.id)

    assert (attempt.result, attempt.error) == (result, None)
    assert after == child


async def test_a_failed_jobs_message_is_a_dead_letter_once_however_often_it_comes(
    stage: Stage,
) -> None:
    async with stage.running(unique(returning(False))) as mq:
        await mq.end(await mq.start(Work()))
        await mq.dead_letter()
        await mq.deliver_again(mq.arrived[0])
        await mq.attempts(2)
        await mq.settled()
        letters = await mq.app.dead.list()

    assert len(letters) == 1


async def test_a_cancelled_job_does_not_run_and_its_processor_gets_none(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        child = await waiting_child(mq)
        await mq.app.jobs.interrupt(child.id)
        await mq.deliver_child(child.id)
        attempt = (await mq.attempts(2))[-1]
        await mq.settled()
        letters = await mq.app.dead.list()
        child = await mq.job(child.id)

    assert (attempt.result, attempt.error) == (Result.REJECT, None)
    assert (child.status, child.lease > 0, letters) == (JobStatus.CANCELLED, True, [])


async def test_a_stale_job_does_not_run_and_its_message_is_rejected(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        child = await waiting_child(mq)
        await mq.quiet(child.root_id or 0)
        await mq.start(Work())
        await mq.deliver_child(child.id)
        letter = await mq.dead_letter()
        [attempt] = [each for each in mq.ended if each.message.job_id == child.id]

    assert isinstance(attempt.error, JobIsStale)
    assert (letter.reason, letter.envelope.job_id) == ("rejected", child.id)
    assert "is stale" in letter.detail


# --------------------------------------------------------------------------------------------------- what must not be


async def test_an_interrupted_job_of_a_dead_consumer_is_not_taken_over(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        child = await waiting_child(mq)
        await mq.run_elsewhere(child.id)
        await mq.execute("UPDATE mqjobs.job SET interrupted = true WHERE id = $1", child.id)
        await mq.deliver_child(child.id)
        attempt = (await mq.attempts(2))[-1]

    assert isinstance(attempt.error, JobIsRunning)


async def test_a_child_of_an_interrupted_root_is_not_taken_over_when_its_consumer_died(
    stage: Stage,
) -> None:
    gate = Gate()
    split = unique(splitting("one", "two", delay=LATER))
    async with stage.running(split, delayed(gate), concurrency=1, prefetch=1) as mq:
        one = await waiting_child(mq)
        await mq.deliver_child(one.id)
        await gate.reached()
        await mq.app.jobs.interrupt(one.root_id or 0)
        await mq.start_consumer()
        await mq.vanish(mq.consumers[0])
        await mq.deliver_child(one.id)
        duplicate = (await mq.attempts(2))[1]
        gate.open()

    assert isinstance(duplicate.error, JobIsRunning)
    assert len(gate.runs) == 1


async def test_a_job_under_which_too_many_consumers_died_is_not_taken_over_again(
    stage: Stage,
) -> None:
    split = unique(splitting("one", delay=LATER))
    async with stage.running(split, delayed(never), crashes_allowed=2) as mq:
        child = await waiting_child(mq)
        await mq.run_elsewhere(child.id)
        await mq.run_elsewhere(child.id)
        await mq.deliver_child(child.id)
        attempt = (await mq.attempts(2))[-1]

    assert isinstance(attempt.error, JobIsRunning)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (StopReason.TIMED_OUT, JobStatus.FAILED),
        (StopReason.SHUTDOWN, JobStatus.FAILED_REDELIVERED),
    ],
)
async def test_a_job_claimed_for_an_attempt_that_was_stopped_meanwhile_is_not_left_running(
    stage: Stage, reason: StopReason, status: JobStatus
) -> None:
    contexts: list[Context] = []

    async def act(message: Message[Piece], context: Context) -> Result:
        contexts.append(context)
        later = raising(Redeliver(LATER))
        return Result.of(await context.jobs.run_delayed_by_message(message, later))

    split = unique(splitting("one", delay=LATER))
    async with stage.running(split, acting(act, Piece), concurrency=1) as mq:
        child = await waiting_child(mq)
        async with mq.transaction() as connection:
            lock = "SELECT FROM mqjobs.job WHERE id = $1 FOR UPDATE"
            await connection.execute(lock, child.root_id)
            await mq.deliver_child(child.id)
            await eventually(lambda: mq.fetchval(WAITS_FOR_A_LOCK), what="a claim that waits")
            contexts[0].attempt.stop(reason)
        child = await mq.until(child.id, status)

    assert child.status is status


WAITS_FOR_A_LOCK = """
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock')
"""
