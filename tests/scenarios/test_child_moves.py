"""Section 4, a child job: every arrow of its table, and what is written with it."""

from datetime import timedelta
from itertools import product

import asyncpg
import pytest

from mqjobs.model.errors import JobError, LeaseLost, Redeliver
from mqjobs.model.job import Job
from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.model.status import CHILD_MOVES, ROOT_MOVES, JobStatus, Moves
from mqjobs.processing.context import Context
from mqjobs.processing.delayed_processor import DelayedProcessor
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
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
from tests.support.topics import HastyPiece, Piece, SteadyPiece, Work
from tests.support.waiting import eventually


async def started_child(mq: Running) -> Job:
    """The delayed child "one" of a new root job."""
    return await mq.child_when_there(await mq.start(Work()), "one")


# ----------------------------------------------------------------------------------------------- created and run


async def test_a_created_child_is_new_and_has_its_time(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        child = await started_child(mq)

    assert (child.status, child.lease, child.attempt) == (JobStatus.NEW, 0, 0)
    assert child.created_at is not None
    assert (child.started_at, child.stopped_at) == (None, None)


async def test_a_claimed_child_is_running_under_a_lease_in_its_consumer(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(splitting("one")), delayed(gate)) as mq:
        child = await started_child(mq)
        await gate.reached()
        child = await mq.job(child.id)
        [consumer] = mq.consumers

    assert (child.status, child.lease, child.attempt) == (JobStatus.RUNNING, 1, 1)
    assert (child.started_at is not None, child.stopped_at) == (True, None)
    assert child.consumer_id == consumer.id


async def test_a_child_that_returned_true_has_succeeded_with_all_its_progress(
    either: Stage,
) -> None:
    async with either.running(unique(splitting("one")), delayed(returning(True))) as mq:
        child = await mq.end((await started_child(mq)).id)

    assert (child.status, child.progress, child.error) == (JobStatus.SUCCESS, 1.0, None)
    assert child.stopped_at is not None


async def test_a_child_that_returned_false_has_failed(either: Stage) -> None:
    async with either.running(unique(splitting("one")), delayed(returning(False))) as mq:
        child = await mq.end((await started_child(mq)).id)
        letter = await mq.dead_letter()

    assert (child.status, child.stopped_at is not None) == (JobStatus.FAILED, True)
    assert (letter.reason, "returned False" in letter.detail) == ("rejected", True)


# ------------------------------------------------------------------------------------------------ raised, retried


async def test_a_child_that_raised_has_failed_at_once_with_the_errors_type_text_and_traceback(
    either: Stage,
) -> None:
    error = LookupError("no such page")
    async with either.running(unique(splitting("one")), delayed(raising(error))) as mq:
        child = await mq.end((await started_child(mq)).id)
        letter = await mq.dead_letter()

    assert (child.status, child.attempt, child.stopped_at is not None) == ("failed", 1, True)
    assert "LookupError: no such page" in (child.error or "")
    assert 'processors.py", line' in (child.error or "")
    assert "LookupError: no such page" in letter.detail


async def test_an_error_with_a_nul_in_its_text_is_kept_all_the_same(stage: Stage) -> None:
    error = ValueError("bad \x00 byte")
    async with stage.running(unique(splitting("one")), delayed(raising(error))) as mq:
        child = await mq.end((await started_child(mq)).id)

    assert child.status is JobStatus.FAILED
    assert "ValueError: bad \\0 byte" in (child.error or "")


async def test_a_child_with_attempts_left_is_tried_again_and_may_succeed(either: Stage) -> None:
    twice = raising(ValueError("first"), ValueError("second"))
    split = unique(splitting("one", start=SteadyPiece()))
    async with either.running(split, delayed(twice, SteadyPiece)) as mq:
        child = await mq.end((await started_child(mq)).id)
        arrived = [message.attempt for message in mq.arrived if message.job_id == child.id]

    assert (child.status, child.attempt, child.lease) == (JobStatus.SUCCESS, 3, 3)
    assert child.error is None
    assert arrived == [1, 2, 3]


async def test_a_child_out_of_attempts_has_failed(stage: Stage) -> None:
    always = raising(*[ValueError(f"try {number}") for number in range(1, 9)])
    split = unique(splitting("one", start=SteadyPiece()))
    async with stage.running(split, delayed(always, SteadyPiece)) as mq:
        child = await mq.end((await started_child(mq)).id)
        letter = await mq.dead_letter()

    assert (child.status, child.attempt) == (JobStatus.FAILED, 3)
    assert "ValueError: try 3" in (child.error or "")
    assert letter.reason == "rejected"


async def test_between_two_tries_a_child_is_failed_redelivered_and_keeps_the_error(
    stage: Stage,
) -> None:
    waiting = raising(ValueError("not yet"), Redeliver(LATER))
    split = unique(splitting("one", start=SteadyPiece()))
    async with stage.running(split, delayed(waiting, SteadyPiece), reap_interval=600) as mq:
        child_id = (await started_child(mq)).id
        await eventually(lambda: attempts(mq, child_id, 2))
        child = await mq.until(child_id, JobStatus.FAILED_REDELIVERED)

    assert (child.attempt, child.stopped_at) == (2, None)


async def attempts(mq: Running, job_id: int, count: int) -> bool:
    """Whether the job has been claimed so often."""
    return (await mq.job(job_id)).attempt == count


async def test_the_error_of_a_try_is_kept_until_the_next_one_ends(stage: Stage) -> None:
    gate = Gate()
    calls = 0

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("not yet")
        return await gate(runner, job)

    split = unique(splitting("one", start=SteadyPiece()))
    async with stage.running(split, delayed(callback, SteadyPiece)) as mq:
        child = await started_child(mq)
        await gate.reached()
        again = await mq.job(child.id)

    assert (again.status, again.attempt) == (JobStatus.RUNNING, 2)
    assert "ValueError: not yet" in (again.error or "")


async def test_a_child_that_takes_longer_than_its_topic_allows_is_stopped_and_has_failed(
    stage: Stage,
) -> None:
    gate = Gate()
    split = unique(splitting("one", start=HastyPiece()))
    async with stage.running(split, delayed(gate, HastyPiece)) as mq:
        child = await mq.end((await started_child(mq)).id)

    assert (child.status, gate.stopped) == (JobStatus.FAILED, 1)
    assert "TimeoutError" in (child.error or "")


# ----------------------------------------------------------------------------------------------------- redelivered


@pytest.mark.parametrize(
    ("redeliver", "seconds"),
    [
        (Redeliver(), 77),
        (Redeliver(after=40), 40),
        (Redeliver(after=timedelta(minutes=3)), 180),
    ],
)
async def test_redeliver_brings_the_message_again_after_the_time_it_names_or_the_setting(
    stage: Stage, redeliver: Redeliver, seconds: int
) -> None:
    processors = unique(splitting("one")), delayed(raising(redeliver))
    async with stage.running(*processors, redelivery_delay=77) as mq:
        child = await mq.until((await started_child(mq)).id, JobStatus.FAILED_REDELIVERED)
        [row] = await mq.parked(Piece)

    assert (row["job_id"], row["attempt"]) == (child.id, 2)
    assert seconds - 20 < row["seconds"] <= seconds


async def test_a_redelivered_child_runs_again_with_its_attempt_counted(either: Stage) -> None:
    once = raising(Redeliver(0.05))
    async with either.running(unique(splitting("one")), delayed(once)) as mq:
        child = await mq.end((await started_child(mq)).id)
        arrived = [message.attempt for message in mq.arrived if message.job_id == child.id]

    assert (child.status, child.attempt, child.lease) == (JobStatus.SUCCESS, 2, 2)
    assert arrived == [1, 2]


async def test_redeliver_needs_no_attempts_left(stage: Stage) -> None:
    often = raising(*[Redeliver(0) for _ in range(5)])
    async with stage.running(unique(splitting("one")), delayed(often)) as mq:
        child = await mq.end((await started_child(mq)).id)

    assert (child.status, child.attempt) == (JobStatus.SUCCESS, 6)


async def test_the_own_child_of_a_root_can_be_redelivered_and_finds_its_children_again(
    either: Stage,
) -> None:
    tries: list[int] = []

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        child = await runner.create_delayed("one", Piece())
        tries.append(child.id)
        if len(tries) == 1:
            raise Redeliver(0.05)
        return True

    async with either.running(unique(split), delayed(returning(True))) as mq:
        root = await mq.end(await mq.start(Work()))

    assert (root.status, root.children) == (JobStatus.SUCCESS, 2)
    assert tries[0] == tries[1]


# ---------------------------------------------------------------------------------------------- the job-blind


@pytest.mark.parametrize(
    ("result", "status"), [(Result.ACK, JobStatus.SUCCESS), (Result.REJECT, JobStatus.FAILED)]
)
async def test_a_wrapped_processor_ends_its_child_by_its_result(
    either: Stage, result: Result, status: JobStatus
) -> None:
    async def act(message: Message[Piece], context: Context) -> Result:
        return result

    wrapped = DelayedProcessor(acting(act, Piece))
    async with either.running(unique(splitting("one")), wrapped) as mq:
        child = await mq.end((await started_child(mq)).id)

    assert child.status is status


async def test_a_wrapped_processor_that_requeues_has_its_child_redelivered(either: Stage) -> None:
    results = [Result.REQUEUE, Result.ACK]

    async def act(message: Message[Piece], context: Context) -> Result:
        return results.pop(0)

    wrapped = DelayedProcessor(acting(act, Piece))
    async with either.running(unique(splitting("one")), wrapped) as mq:
        child = await mq.end((await started_child(mq)).id)

    assert (child.status, child.attempt, results) == (JobStatus.SUCCESS, 2, [])


async def test_a_wrapped_processor_that_requeues_leaves_its_child_failed_redelivered(
    stage: Stage,
) -> None:
    async def act(message: Message[Piece], context: Context) -> Result:
        return Result.REQUEUE

    wrapped = DelayedProcessor(acting(act, Piece))
    async with stage.running(unique(splitting("one")), wrapped, redelivery_delay=LATER) as mq:
        child = await mq.until((await started_child(mq)).id, JobStatus.FAILED_REDELIVERED)

    assert (child.stopped_at, child.attempt) == (None, 1)


async def test_a_wrapped_processor_that_returns_no_result_has_failed_and_the_error_says_so(
    stage: Stage,
) -> None:
    async def act(message: Message[Piece], context: Context) -> Result:
        return None  # type: ignore[return-value]

    wrapped = DelayedProcessor(acting(act, Piece))
    async with stage.running(unique(splitting("one")), wrapped) as mq:
        child = await mq.end((await started_child(mq)).id)

    assert child.status is JobStatus.FAILED
    assert "a Result was expected" in (child.error or "")


# ------------------------------------------------------------------------------------- cancelled and stale


async def test_a_new_child_that_is_interrupted_is_cancelled(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        child = await started_child(mq)
        await mq.app.jobs.interrupt(child.id)
        child = await mq.job(child.id)

    assert (child.status, child.stopped_at is not None) == (JobStatus.CANCELLED, True)


async def test_a_child_that_waits_for_its_next_try_is_cancelled_when_interrupted(
    stage: Stage,
) -> None:
    async with stage.running(unique(splitting("one")), delayed(raising(Redeliver(LATER)))) as mq:
        child = await mq.until((await started_child(mq)).id, JobStatus.FAILED_REDELIVERED)
        await mq.app.jobs.interrupt(child.id)
        child = await mq.job(child.id)

    assert (child.status, child.stopped_at is not None) == (JobStatus.CANCELLED, True)


async def test_a_running_child_that_is_interrupted_is_stopped_and_cancelled(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(splitting("one")), delayed(gate)) as mq:
        child = await started_child(mq)
        await gate.reached()
        await mq.app.jobs.interrupt(child.id)
        child = await mq.end(child.id)

    assert (child.status, child.stopped_at is not None) == (JobStatus.CANCELLED, True)
    assert gate.stopped == 1


async def test_open_children_become_stale_with_their_root(stage: Stage) -> None:
    split = unique(splitting("one", delay=LATER))
    async with stage.running(split, delayed(never)) as mq:
        root_id = await mq.start(Work())
        child = await mq.child_when_there(root_id, "one")
        await mq.settled()
        await mq.quiet(root_id)
        await mq.start(Work())
        child = await mq.job(child.id)

    assert (child.status, child.stopped_at is not None) == (JobStatus.STALE, True)


# ------------------------------------------------------------------------------------------------- no other arrow


@pytest.mark.parametrize(("is_root", "moves"), [(False, CHILD_MOVES), (True, ROOT_MOVES)])
async def test_the_database_refuses_every_move_that_is_not_in_the_table(
    stage: Stage, is_root: bool, moves: Moves
) -> None:
    accepted = set()
    async with stage.running() as mq:
        for was, becomes in product(JobStatus, repeat=2):
            if was is not becomes and await may_move(mq, is_root, was, becomes):
                accepted.add((was, becomes))

    assert accepted == {(was, becomes) for was in moves for becomes in moves[was]}


async def may_move(mq: Running, is_root: bool, was: JobStatus, becomes: JobStatus) -> bool:
    """Whether a job of that status, written past all code, can be set to the other one."""
    job_id = await mq.fetchval(
        "INSERT INTO mqjobs.job (root_id, owner_id, name, status, lease, consumer_id, stopped_at)"
        " VALUES ($1, $2, $3, $4, 1, gen_random_uuid(), CASE WHEN $5 THEN now() END) RETURNING id",
        None if is_root else 404,
        f"owner of {was} to {becomes}" if is_root else None,
        f"{was} to {becomes}",
        was,
        was.is_terminal,
    )
    try:
        await mq.execute(
            "UPDATE mqjobs.job SET status = $2, stopped_at = CASE WHEN $3 THEN now() END WHERE id = $1",
            job_id,
            becomes,
            becomes.is_terminal,
        )
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != "job_moves":
            raise
        return False
    return True


async def test_an_ended_child_moves_no_more_however_often_its_message_comes(either: Stage) -> None:
    gate = Gate()
    gate.open()
    async with either.running(unique(splitting("one")), delayed(gate)) as mq:
        child = await mq.end((await started_child(mq)).id)
        message = next(each for each in mq.arrived if each.job_id == child.id)
        for _ in range(3):
            await mq.deliver_again(message)
        await mq.attempts(4, message.id)
        again = await mq.job(child.id)

    assert len(gate.runs) == 1
    assert again == child


# -------------------------------------------------------------------------------------------- reports and activity


async def test_a_job_reports_finer_progress_and_data_of_its_own(stage: Stage) -> None:
    gate = Gate()

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        await job.report(progress=0.25, note="a quarter", pages=3)
        await job.report(progress=0.4, note="nearly half")
        return await gate(runner, job)

    async with stage.running(unique(splitting("one")), delayed(callback)) as mq:
        child = await started_child(mq)
        await gate.reached()
        child = await mq.job(child.id)

    assert child.progress == 0.4
    assert child.data == {"note": "nearly half", "pages": 3}


@pytest.mark.parametrize(
    "report",
    [
        {"progress": 1.5},
        {"progress": -0.1},
        {"progress": float("nan")},
        {"note": "a\x00b"},
        {"pages": object()},
        {"pages": float("nan")},
    ],
)
async def test_a_report_that_cannot_be_kept_is_an_error_and_nothing_is_written(
    stage: Stage, report: dict[str, object]
) -> None:
    complaints: list[JobError] = []

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        try:
            await job.report(**report)  # type: ignore[arg-type]
        except JobError as error:
            complaints.append(error)
        return True

    async with stage.running(unique(callback)) as mq:
        root_id = await mq.start(Work())
        await mq.end(root_id)
        own = await mq.child(root_id, "work")

    assert len(complaints) == 1
    assert (own.status, own.data) == (JobStatus.SUCCESS, None)


async def test_a_report_after_the_jobs_end_is_refused(stage: Stage) -> None:
    gate = Gate()
    gate.open()
    async with stage.running(unique(gate)) as mq:
        root_id = await mq.start(Work())
        await mq.end(root_id)
        with pytest.raises(LeaseLost):
            await gate.runs[0].report(progress=0.5, note="too late")
        own = await mq.child(root_id, "work")

    assert (own.progress, own.data) == (1.0, None)


async def activity(mq: Running, root_id: int) -> bool:
    """Whether the root has been active since it was last made quiet."""
    found = await mq.fetchval(
        "SELECT last_active_at > now() - interval '1 hour' FROM mqjobs.job WHERE id = $1", root_id
    )
    return bool(found)


async def test_creating_starting_reporting_and_finishing_a_child_are_activity_of_its_root(
    stage: Stage,
) -> None:
    active: dict[str, bool] = {}

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await mq.quiet(job.root_id or 0)
        await runner.create_delayed("one", Piece())
        active["created"] = await activity(mq, job.root_id or 0)
        await gate.reached()
        await mq.quiet(job.root_id or 0)
        return True

    async def piece(runner: JobRunner, job: RunningJob) -> bool:
        await gate.passed()
        await mq.quiet(job.root_id or 0)
        await job.report(progress=0.5)
        active["reported"] = await activity(mq, job.root_id or 0)
        return True

    gate = Gate()
    async with stage.running(unique(split), delayed(piece)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.until((await mq.child(root_id, "work")).id, JobStatus.SUCCESS)
        active["finished"] = await activity(mq, root_id)
        gate.open()
        await mq.end(root_id)

    assert active == {"created": True, "reported": True, "finished": True}


async def test_starting_a_child_is_activity_and_a_heartbeat_is_none(stage: Stage) -> None:
    gate = Gate()
    split = unique(splitting("one", delay=LATER))
    async with stage.running(split, delayed(gate), heartbeat_interval=0.02) as mq:
        child = await started_child(mq)
        await mq.settled()
        root_id = child.root_id or 0
        await mq.quiet(root_id)
        [before] = await mq.fetch("SELECT heartbeat_at FROM mqjobs.consumer")
        beat = "SELECT heartbeat_at > $1 FROM mqjobs.consumer"
        await eventually(lambda: mq.fetchval(beat, before["heartbeat_at"]))
        quiet = await activity(mq, root_id)
        await mq.deliver_child(child.id)
        await gate.reached()
        started = await activity(mq, root_id)

    assert (quiet, started) == (False, True)
