"""The run of a claimed job: whatever its callback comes to is written once, under its lease."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from mqjobs.model.errors import LeaseLost, Redeliver
from mqjobs.model.job import Job
from mqjobs.model.outcome import StopReason
from mqjobs.model.retry import Retry
from mqjobs.model.status import JobStatus
from mqjobs.processing.attempt import Attempt, Verdict
from mqjobs.processing.job_run import ERROR_LENGTH, error_text
from tests.support.envelopes import an_envelope
from tests.support.surroundings import REDELIVERY_DELAY, Surroundings
from tests.support.waiting import eventually

Call = Callable[[], Awaitable[object]]

TWICE = Retry(attempts=2, delay=30)


def returning(value: object) -> Call:
    async def call() -> object:
        return value

    return call


def raising(error: BaseException) -> Call:
    async def call() -> object:
        raise error

    return call


@asynccontextmanager
async def execution(
    around: Surroundings, job: Job, attempt: Attempt, call: Call
) -> AsyncIterator["asyncio.Task[Any]"]:
    """The run as a task that the attempt can stop; what it raises is the test's to look at."""

    async def act() -> object:
        with attempt.running():
            return await around.run(job, attempt).execute(call)

    failed: list[BaseException] = []

    async def caught() -> object:
        try:
            return await act()
        except BaseException as error:
            failed.append(error)
            raise

    loop = asyncio.get_running_loop()
    task = loop.create_task(caught())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        _ = task.cancelled() or task.exception()


async def lose_lease(around: Surroundings, job: Job) -> None:
    """The job goes to another run."""
    await around.pool.execute("UPDATE mqjobs.job SET lease = lease + 1 WHERE id = $1", job.id)


def stop(around: Surroundings, job: Job, attempt: Attempt, reason: StopReason) -> None:
    """The run alone is stopped, or all of its attempt, as it would be for this reason."""
    if reason in {StopReason.INTERRUPTED, StopReason.LEASE_LOST}:
        around.services.runs.stop(job.id, job.lease, reason)
    else:
        attempt.stop(reason)


async def stopped_while_running(
    around: Surroundings, reason: StopReason, retry: Retry | None = None
) -> tuple[Job, Attempt]:
    """A run whose code waits for ever, and is stopped for this reason."""
    job = await around.claimed()
    attempt = around.attempt(retry=retry)
    async with execution(around, job, attempt, asyncio.Event().wait) as task:
        await eventually(lambda: job.id in around.services.runs.leases())
        stop(around, job, attempt, reason)
        await asyncio.wait([task], timeout=10)
        assert task.cancelled() or task.result() is None
    return await around.job(job.id), attempt


async def test_true_is_success_and_the_processor_decides_about_the_message(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    assert await around.run(job, attempt).execute(returning(value=True)) is True

    written = await around.job(job.id)
    assert (written.status, written.progress, written.error) == (JobStatus.SUCCESS, 1, None)
    assert attempt.verdict is Verdict.OPEN


async def test_false_is_failed_and_says_so_where_the_message_is_rejected(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt(retry=TWICE)

    assert await around.run(job, attempt).execute(returning(value=False)) is False

    assert (await around.job(job.id)).status is JobStatus.FAILED
    assert attempt.verdict is Verdict.OPEN
    assert attempt.detail == f"job {job.id} 'work' failed: returned False"


@pytest.mark.parametrize("value", [None, 1, "yes"])
async def test_anything_else_is_failed_and_the_error_says_what_was_expected(
    around: Surroundings, value: object
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    assert await around.run(job, attempt).execute(returning(value)) is False

    written = await around.job(job.id)
    assert written.status is JobStatus.FAILED
    assert written.error == (f"the job's callback returned {value!r}: True or False was expected")


async def test_an_exception_fails_the_job_with_its_traceback_and_passes_on(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    with pytest.raises(ValueError, match="no such row"):
        await around.run(job, attempt).execute(raising(ValueError("no such row")))

    written = await around.job(job.id)
    assert written.status is JobStatus.FAILED
    assert (written.error or "").startswith("Traceback")
    assert (written.error or "").endswith("ValueError: no such row\n")
    assert attempt.verdict is Verdict.REJECT
    assert attempt.detail == f"job {job.id} 'work' failed: ValueError: no such row"


async def test_an_exception_with_attempts_left_brings_the_message_again_after_the_delay(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt(retry=TWICE)

    with pytest.raises(ValueError, match="boom"):
        await around.run(job, attempt).execute(raising(ValueError("boom")))

    written = await around.job(job.id)
    assert written.status is JobStatus.FAILED_REDELIVERED
    assert "ValueError: boom" in (written.error or "")
    [again] = await around.outbox()
    assert (again["message_id"], again["attempt"]) == (attempt.envelope.id, 2)
    assert timedelta(seconds=25) < again["wait"] <= timedelta(seconds=30)
    assert attempt.verdict is Verdict.AGAIN


@pytest.mark.parametrize(("asked", "wait"), [(None, REDELIVERY_DELAY), (60, timedelta(minutes=1))])
async def test_a_job_that_asks_for_redelivery_comes_again_after_its_own_or_the_usual_delay(
    around: Surroundings, asked: float | None, wait: timedelta
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    with pytest.raises(Redeliver):
        await around.run(job, attempt).execute(raising(Redeliver(after=asked)))

    assert (await around.job(job.id)).status is JobStatus.FAILED_REDELIVERED
    [again] = await around.outbox()
    assert wait - timedelta(seconds=5) < again["wait"] <= wait
    assert attempt.verdict is Verdict.AGAIN


async def test_an_interrupted_run_is_cancelled(around: Surroundings) -> None:
    job, attempt = await stopped_while_running(around, StopReason.INTERRUPTED, TWICE)

    assert job.status is JobStatus.CANCELLED
    assert attempt.verdict is Verdict.SETTLED
    assert not await around.outbox()


async def test_a_run_that_its_consumer_gives_back_comes_again_at_once_and_does_not_count(
    around: Surroundings,
) -> None:
    job, attempt = await stopped_while_running(around, StopReason.SHUTDOWN)

    assert (job.status, job.attempt, job.error) == (JobStatus.FAILED_REDELIVERED, 0, None)
    [again] = await around.outbox()
    assert again["attempt"] == attempt.envelope.attempt
    assert again["wait"] <= timedelta(0)
    assert attempt.detail == f"job {job.id} {job.name!r} runs again in 0 s: it was given back"


async def test_a_run_that_took_too_long_has_failed(around: Surroundings) -> None:
    job, attempt = await stopped_while_running(around, StopReason.TIMED_OUT)

    assert job.status is JobStatus.FAILED
    assert job.error == "TimeoutError: the attempt took longer than its topic's timeout"
    assert attempt.verdict is Verdict.REJECT


async def test_a_run_whose_lease_is_lost_writes_nothing(around: Surroundings) -> None:
    job, attempt = await around.claimed(), around.attempt()

    async with execution(around, job, attempt, asyncio.Event().wait) as task:
        await eventually(lambda: job.id in around.services.runs.leases())
        await lose_lease(around, job)
        around.services.runs.stop(job.id, job.lease, StopReason.LEASE_LOST)
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()

    assert (await around.job(job.id)).status is JobStatus.RUNNING
    assert attempt.verdict is Verdict.SETTLED
    assert not await around.outbox()


async def test_a_run_whose_lease_was_believed_lost_is_given_back(around: Surroundings) -> None:
    job, attempt = await stopped_while_running(around, StopReason.LEASE_LOST)

    assert (job.status, job.attempt) == (JobStatus.FAILED_REDELIVERED, 0)
    [again] = await around.outbox()
    assert again["message_id"] == attempt.envelope.id
    assert attempt.verdict is Verdict.AGAIN


async def test_a_claim_that_was_granted_when_the_others_may_run_the_job_is_not_used(
    around: Surroundings,
) -> None:
    job, attempt, calls = await around.claimed(), around.attempt(), list[int]()

    async def call() -> bool:
        calls.append(1)
        return True

    around.services.runs.trust_until(0)
    async with execution(around, job, attempt, call) as task:
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()

    assert not calls
    assert (await around.job(job.id)).status is JobStatus.FAILED_REDELIVERED


async def test_a_run_in_which_another_one_lost_its_lease_is_finished(around: Surroundings) -> None:
    outer, inner = await around.claimed("outer"), await around.claimed("inner")
    attempt = around.attempt()

    async def lose() -> bool:
        await lose_lease(around, inner)
        return True

    with pytest.raises(LeaseLost, match=f"job {inner.id}"):
        await around.run(outer, attempt).execute(lambda: around.run(inner, attempt).execute(lose))

    written = await around.job(outer.id)
    assert written.status is JobStatus.FAILED
    assert "LeaseLost: job" in (written.error or "")


async def test_an_outcome_that_comes_too_late_is_not_written_and_the_run_is_told(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt()
    await lose_lease(around, job)

    with pytest.raises(LeaseLost, match=f"job {job.id} 'work' is no longer run under lease 1"):
        await around.run(job, attempt).execute(returning(value=True))

    assert (await around.job(job.id)).status is JobStatus.RUNNING
    assert attempt.verdict is Verdict.SETTLED


async def test_a_call_that_finds_the_lease_lost_ends_the_run_without_an_outcome(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    async def call() -> bool:
        await lose_lease(around, job)
        raise LeaseLost("it is gone")

    with pytest.raises(LeaseLost):
        await around.run(job, attempt).execute(call)

    assert (await around.job(job.id)).status is JobStatus.RUNNING
    assert attempt.verdict is Verdict.SETTLED


async def test_the_run_is_held_while_its_code_runs_and_no_longer(around: Surroundings) -> None:
    job, runs = await around.claimed(), around.services.runs
    seen: list[dict[int, int]] = []

    async def look() -> bool:
        seen.append(runs.leases())
        return True

    await around.run(job, around.attempt()).execute(look)

    assert seen == [{job.id: job.lease}]
    assert runs.leases() == {}


async def test_a_time_limit_of_the_authors_own_fails_the_job_and_comes_out_as_itself(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await around.run(job, attempt).execute(asyncio.Event().wait)

    written = await around.job(job.id)
    assert written.status is JobStatus.FAILED
    assert "CancelledError" in (written.error or "")
    assert attempt.verdict is Verdict.REJECT
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_something_cancelled_that_the_code_waits_for_is_an_error_of_the_code(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    with pytest.raises(asyncio.CancelledError):
        await around.run(job, attempt).execute(raising(asyncio.CancelledError()))

    assert (await around.job(job.id)).status is JobStatus.FAILED
    assert attempt.verdict is Verdict.REJECT


@pytest.mark.parametrize("reason", [StopReason.SHUTDOWN, StopReason.INTERRUPTED])
async def test_code_that_answers_a_stop_with_an_error_of_its_own_was_stopped_all_the_same(
    around: Surroundings, reason: StopReason
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    async def call() -> bool:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("while it cleaned up") from None
        return True

    async with execution(around, job, attempt, call) as task:
        await eventually(lambda: job.id in around.services.runs.leases())
        stop(around, job, attempt, reason)
        await asyncio.wait([task], timeout=10)
        if reason is StopReason.INTERRUPTED:
            assert task.result() is None
        else:
            assert isinstance(task.exception(), ConnectionError)

    status = (await around.job(job.id)).status
    expected = {
        StopReason.SHUTDOWN: (JobStatus.FAILED_REDELIVERED, Verdict.AGAIN),
        StopReason.INTERRUPTED: (JobStatus.CANCELLED, Verdict.SETTLED),
    }
    assert (status, attempt.verdict) == expected[reason]


async def test_code_that_ends_in_peace_after_a_stop_has_its_own_outcome(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    async def call() -> bool:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return True
        return False

    async with execution(around, job, attempt, call) as task:
        await eventually(lambda: job.id in around.services.runs.leases())
        attempt.stop(StopReason.SHUTDOWN)
        await asyncio.wait([task], timeout=10)
        assert task.result() is True

    assert (await around.job(job.id)).status is JobStatus.SUCCESS


@pytest.mark.parametrize("reason", [StopReason.SHUTDOWN, StopReason.TIMED_OUT])
async def test_an_outcome_that_is_being_written_when_a_stop_comes_is_written_all_the_same(
    around: Surroundings, reason: StopReason
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    async with execution(around, job, attempt, returning(value=True)) as task, around.held_up(job):
        await eventually(around.somebody_waits)
        attempt.stop(reason)
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()

    await eventually(lambda: has_status(around, job, JobStatus.SUCCESS))
    assert attempt.verdict is Verdict.PARK


class Panic(BaseException):
    """What extension modules raise that want nobody to catch it."""


async def test_an_error_that_is_no_exception_fails_the_job_like_any_other(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    with pytest.raises(Panic):
        await around.run(job, attempt).execute(raising(Panic("boom")))

    written = await around.job(job.id)
    assert written.status is JobStatus.FAILED
    assert (written.error or "").endswith("Panic: boom\n")


async def has_status(around: Surroundings, job: Job, status: JobStatus) -> bool:
    return (await around.job(job.id)).status is status


def test_a_long_error_keeps_its_beginning_and_its_end() -> None:
    text = error_text(ValueError("x" * 2 * ERROR_LENGTH + "the end"))

    assert len(text) == ERROR_LENGTH
    assert text.startswith("ValueError: x")
    assert text.endswith("the end\n")


async def test_an_error_that_postgresql_cannot_keep_is_kept_readable(
    around: Surroundings,
) -> None:
    job, attempt = await around.claimed(), around.attempt()
    error = FileNotFoundError("caf\udce9\x00.txt")

    with pytest.raises(FileNotFoundError):
        await around.run(job, attempt).execute(raising(error))

    written = await around.job(job.id)
    assert written.status is JobStatus.FAILED
    assert (written.error or "").endswith("FileNotFoundError: caf\\udce9\\0.txt\n")


async def test_an_interrupt_of_one_job_of_an_attempt_leaves_the_others_as_they_are(
    around: Surroundings,
) -> None:
    one, two, attempt = await around.claimed("one"), await around.claimed("two"), around.attempt()
    go_on = asyncio.Event()

    async def wait() -> bool:
        return await go_on.wait()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(around.run(one, attempt).execute(asyncio.Event().wait))
        second = group.create_task(around.run(two, attempt).execute(wait))
        await eventually(lambda: len(around.services.runs.leases()) == 2)
        around.services.runs.stop(one.id, one.lease, StopReason.INTERRUPTED)
        await asyncio.wait([first], timeout=10)
        go_on.set()

    assert (first.result(), second.result()) == (None, True)
    assert (await around.job(one.id)).status is JobStatus.CANCELLED
    assert (await around.job(two.id)).status is JobStatus.SUCCESS
    assert attempt.verdict is Verdict.OPEN


async def test_a_job_that_runs_after_an_interrupted_one_of_its_attempt_can_fail_by_itself(
    around: Surroundings,
) -> None:
    one, two, attempt = await around.claimed("one"), await around.claimed("two"), around.attempt()

    async def both() -> object:
        await around.run(one, attempt).execute(asyncio.Event().wait)
        return await around.run(two, attempt).execute(raising(ValueError("no")))

    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        task = group.create_task(suppressed(both))
        await eventually(lambda: one.id in around.services.runs.leases())
        around.services.runs.stop(one.id, one.lease, StopReason.INTERRUPTED)
        await task

    failed = await around.job(two.id)
    assert failed.status is JobStatus.FAILED
    assert "ValueError: no" in (failed.error or "")
    assert attempt.verdict is Verdict.REJECT


async def suppressed(call: Call) -> None:
    with suppress(ValueError):
        await call()


async def test_an_outcome_whose_data_cannot_be_written_is_a_failure_that_says_so(
    around: Surroundings,
) -> None:
    job = await around.claimed()
    attempt = around.attempt(an_envelope("tests.work", attempt=2**40))

    with pytest.raises(Redeliver):
        await around.run(job, attempt).execute(raising(Redeliver()))

    written = await around.job(job.id)
    assert written.status is JobStatus.FAILED
    assert "its outcome (failed_redelivered) could not be written" in (written.error or "")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (StopReason.INTERRUPTED, JobStatus.CANCELLED),
        (StopReason.TIMED_OUT, JobStatus.FAILED),
        (StopReason.SHUTDOWN, JobStatus.FAILED_REDELIVERED),
    ],
)
async def test_a_run_that_is_taken_away_from_its_code_goes_where_it_would_and_the_code_writes_nothing(
    around: Surroundings, reason: StopReason, status: JobStatus
) -> None:
    job, attempt = await around.claimed(), around.attempt()

    async def call() -> bool:
        [held] = around.services.runs.of(attempt)
        assert held.take_away is not None
        await held.take_away(reason)
        return True

    with pytest.raises(LeaseLost):
        await around.run(job, attempt).execute(call)

    written = await around.job(job.id)
    assert (written.status, written.lease) == (status, job.lease + 1)
