"""Attempts: stopped once, for the first reason; and the runs that a consumer holds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from mqjobs.model.outcome import StopReason
from mqjobs.model.retry import Retry
from mqjobs.processing.attempt import Attempt, Runs, Verdict
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


async def test_a_stop_cancels_the_code_that_runs_and_the_first_reason_counts() -> None:
    attempt = an_attempt()

    async with running(attempt) as task:
        attempt.stop(StopReason.INTERRUPTED)
        attempt.stop(StopReason.SHUTDOWN)
        await asyncio.wait([task])

    assert attempt.stop_reason is StopReason.INTERRUPTED
    assert task.cancelling() == 1


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


def test_a_verdict_brings_its_reason_and_the_later_one_holds() -> None:
    attempt = an_attempt()

    attempt.explain("it returned False")
    assert (attempt.verdict, attempt.detail) == (None, "it returned False")
    attempt.decide(Verdict.PARK)
    attempt.decide(Verdict.REJECT, "unknown job")

    assert (attempt.verdict, attempt.detail) == (Verdict.REJECT, "unknown job")


def test_a_run_is_held_within_its_block_and_no_longer() -> None:
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

    async with running(attempt):
        with runs.held(1, 3, attempt):
            assert runs.stop(job_id, lease, StopReason.INTERRUPTED) is stopped

    assert (attempt.stop_reason is StopReason.INTERRUPTED) == stopped


async def test_of_two_runs_of_one_job_here_the_older_is_stopped_and_the_newer_stays_held() -> None:
    runs, older, newer = Runs(uuid4()), an_attempt(), an_attempt()

    async with running(older), running(newer):
        held = runs.held(1, 3, older)
        held.__enter__()
        with runs.held(1, 4, newer):
            held.__exit__(None, None, None)

            assert older.stop_reason is StopReason.LEASE_LOST
            assert newer.stop_reason is None
            assert runs.leases() == {1: 4}

    assert runs.leases() == {}


def test_runs_are_trusted_until_their_time_is_over() -> None:
    runs = Runs(uuid4())
    assert runs.are_trusted
    runs.trust_until(time.monotonic() + 600)
    assert runs.are_trusted
    runs.trust_until(time.monotonic())
    assert not runs.are_trusted
