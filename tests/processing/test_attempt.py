"""Attempts: stopped once, for the first reason; and the runs that a consumer holds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import permutations
from uuid import uuid4

import pytest

from mqjobs.model.outcome import StopReason
from mqjobs.model.retry import Retry
from mqjobs.processing.attempt import Attempt, HeldRun, Runs, Verdict
from tests.support.envelopes import an_envelope


def an_attempt() -> Attempt:
    return Attempt(an_envelope(), "default", Retry())


@asynccontextmanager
async def running(attempt: Attempt) -> AsyncIterator["asyncio.Task[None]"]:
    """A task in which the attempt runs, and never ends by itself."""
    began = asyncio.Event()

    async def run() -> None:
        with attempt.running():
            began.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        await began.wait()
        yield task
        task.cancel()


@asynccontextmanager
async def holding(runs: Runs, job_id: int, lease: int, attempt: Attempt) -> AsyncIterator[HeldRun]:
    """A task in which a job runs, and never ends by itself."""
    began: asyncio.Future[HeldRun] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        with runs.held(job_id, lease, attempt) as held, held.code():
            began.set_result(held)
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        yield await began
        task.cancel()


async def test_a_stop_cancels_the_code_that_runs_and_the_first_reason_counts() -> None:
    attempt = an_attempt()

    async with running(attempt) as task:
        attempt.stop(StopReason.INTERRUPTED)
        attempt.stop(StopReason.SHUTDOWN)
        await asyncio.wait([task])

    assert attempt.stop_reason is StopReason.INTERRUPTED
    assert task.cancelled()
    assert task.cancelling() == 0


async def test_what_does_not_run_cannot_be_stopped() -> None:
    attempt = an_attempt()

    attempt.stop(StopReason.SHUTDOWN)
    with attempt.running():
        pass
    attempt.stop(StopReason.SHUTDOWN)

    assert attempt.stop_reason is None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_a_verdict_brings_its_reason_and_of_equal_ones_the_later_holds() -> None:
    attempt = an_attempt()

    attempt.explain("it returned False")
    assert (attempt.verdict, attempt.detail) == (Verdict.OPEN, "it returned False")
    attempt.decide(Verdict.REJECT, "unknown job")
    attempt.decide(Verdict.REJECT, "failed")

    assert (attempt.verdict, attempt.detail) == (Verdict.REJECT, "failed")


@pytest.mark.parametrize("order", list(permutations(Verdict, 2)))
def test_of_two_jobs_verdicts_the_worse_one_counts_whichever_came_first(
    order: tuple[Verdict, Verdict],
) -> None:
    attempt = an_attempt()

    for verdict in order:
        attempt.decide(verdict, verdict)

    worse = min(order, key=list(Verdict).index)
    assert (attempt.verdict, attempt.detail) == (worse, worse)


async def test_a_run_is_held_within_its_block_and_no_longer() -> None:
    runs = Runs(uuid4())

    with runs.held(1, 3, an_attempt()), runs.held(2, 5, an_attempt()):
        assert runs.leases() == {1: 3, 2: 5}

    assert runs.leases() == {}


@pytest.mark.parametrize(
    ("job_id", "lease", "stopped"), [(1, 3, True), (1, 4, False), (2, 3, False)]
)
async def test_a_run_is_stopped_by_its_job_and_lease(
    job_id: int, lease: int, stopped: bool
) -> None:
    runs, attempt = Runs(uuid4()), an_attempt()

    async with holding(runs, 1, 3, attempt) as held:
        assert runs.stop(job_id, lease, StopReason.INTERRUPTED) is stopped

    assert (held.stop_reason is StopReason.INTERRUPTED) == stopped
    assert attempt.stop_reason is None


async def test_a_run_is_stopped_alone_and_another_of_the_same_attempt_goes_on() -> None:
    runs, attempt = Runs(uuid4()), an_attempt()

    async with holding(runs, 1, 3, attempt) as one, holding(runs, 2, 5, attempt) as two:
        runs.stop(1, 3, StopReason.LEASE_LOST)

        assert (one.stop_reason, two.stop_reason) == (StopReason.LEASE_LOST, None)


async def test_a_run_whose_outcome_is_being_written_is_stopped_no_more() -> None:
    runs = Runs(uuid4())

    with runs.held(1, 3, an_attempt()) as held:
        with held.code():
            pass
        runs.stop(1, 3, StopReason.INTERRUPTED)

        assert held.stop_reason is None


async def test_code_that_goes_on_after_its_grace_ignores_its_stop() -> None:
    runs, attempt = Runs(uuid4()), an_attempt()

    async with holding(runs, 1, 3, attempt) as held:
        assert runs.that_ignore_stops(timedelta(0)) == []
        runs.stop(1, 3, StopReason.INTERRUPTED)

        assert runs.that_ignore_stops(timedelta(0)) == [held]
        assert runs.that_ignore_stops(timedelta(minutes=1)) == []


async def test_a_job_that_is_being_claimed_may_run_here_in_a_moment() -> None:
    runs = Runs(uuid4())

    with runs.claiming(7), runs.held(1, 3, an_attempt()):
        assert runs.jobs() == {1, 7}

    assert runs.jobs() == set()


async def test_of_two_runs_of_one_job_here_the_older_is_stopped_and_the_newer_stays_held() -> None:
    runs, older, newer = Runs(uuid4()), an_attempt(), an_attempt()

    async with holding(runs, 1, 4, older) as before, holding(runs, 1, 5, newer) as after:
        assert before.stop_reason is StopReason.LEASE_LOST
        assert after.stop_reason is None
        assert runs.leases() == {1: 5}

    assert runs.leases() == {}


def test_runs_are_trusted_until_their_time_is_over() -> None:
    runs = Runs(uuid4())
    assert runs.are_trusted
    runs.trust_until(time.monotonic() + 600)
    assert runs.are_trusted
    runs.trust_until(time.monotonic())
    assert not runs.are_trusted
