"""The run of a claimed job: its callback is called, and what it came to is written under its lease."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

import structlog

from mqjobs.model.errors import DatabaseUnavailable, LeaseLost, Redeliver
from mqjobs.model.job import Job
from mqjobs.model.outcome import (
    Finish,
    GivenBack,
    Outcome,
    Raised,
    Redelivered,
    Returned,
    Stopped,
    StopReason,
    after_attempt,
)
from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count
from mqjobs.model.tracebacks import what_went_wrong
from mqjobs.processing.attempt import Attempt, HeldRun, Verdict
from mqjobs.processing.services import Services
from mqjobs.store.finishes import FinishedRun

log = structlog.get_logger(__name__)

ERROR_LENGTH = 20_000


class JobRun:
    """One run of one job under one lease."""

    def __init__(self, job: Job, attempt: Attempt, services: Services) -> None:
        self._job = job
        self._attempt = attempt
        self._services = services

    async def execute(self, call: Callable[[], Awaitable[object]]) -> bool | None:
        """Run it and finish the job by what it came to; True or False as it returned, None where it was interrupted.

        What it raises otherwise passes on, when the job is finished. Raises LeaseLost where the outcome could not be
        written.
        """
        self._attempt.ran_a_job = True
        with self._services.runs.held(self._job.id, self._job.lease, self._attempt) as held:
            held.take_away = self._take_away
            try:
                with held.code():
                    await self._stop_unless_trusted(held)
                    value = await call()
            except Redeliver as redeliver:
                await self._finish(Redelivered(self._wait(redeliver)))
                raise
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                await self._finish_raised(held.stop_reason, error)
                if held.was_interrupted_alone:
                    return None
                raise
            status = await self._finish(Returned(value))
        return status is JobStatus.SUCCESS

    async def _stop_unless_trusted(self, held: HeldRun) -> None:
        """A claim may be granted so late that the others run the job by now."""
        if not self._services.runs.are_trusted:
            held.stop(StopReason.LEASE_LOST)
            await asyncio.sleep(0)

    async def _finish_raised(self, reason: StopReason | None, error: BaseException) -> None:
        """Code that was stopped was stopped, whatever it raises while it cleans up.

        Whether the lease is lost, the row decides: it may be held still, and then nobody else would end the job.
        """
        if reason is None:
            await self._finish(Raised(error_text(error)))
            return
        with suppress(*([LeaseLost] if reason is StopReason.LEASE_LOST else [])):
            await self._finish(_outcome_of(reason))

    async def _take_away(self, reason: StopReason) -> None:
        """Its code goes on although it was stopped: the job goes on without it, and what it writes later is refused."""
        outcome = _outcome_of(reason)
        finish = after_attempt(outcome, self._job.attempt, self._attempt.retry)
        finished = replace(self._written(finish), takes_lease=True)
        status = await self._write_what_can_be(finished)
        if status is not None:
            self._decide(status, finish, outcome)

    async def _finish(self, outcome: Outcome) -> JobStatus:
        finish = after_attempt(outcome, self._job.attempt, self._attempt.retry)
        status = await self._write(finish)
        if status is None:
            self._lose()
            raise LeaseLost(
                f"job {self._job.id} {self._job.name!r} is no longer run under lease {self._job.lease}: "
                "its outcome was not written"
            )
        self._decide(status, finish, outcome)
        return status

    async def _write(self, finish: Finish) -> JobStatus | None:
        """A stop that comes now comes too late: the outcome is written, and the message's next arrival finds it."""
        try:
            return await self._write_what_can_be(self._written(finish))
        except asyncio.CancelledError:
            self._attempt.decide(Verdict.PARK)
            raise

    async def _write_what_can_be(self, finished: FinishedRun) -> JobStatus | None:
        """An outcome whose data no column holds, such as a stranger's number, is a failure that says so."""
        store = self._services.store
        try:
            return await store.finish(finished)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            log.exception("outcome_unwritable", job_id=self._job.id, job=self._job.name)
            return await store.finish(_unwritable(finished, error))

    def _written(self, finish: Finish) -> FinishedRun:
        again = None
        if finish.again_in is not None:
            again = self._attempt.envelope.again(
                self._attempt.queue,
                finish.again_in,
                attempt=self._attempt.envelope.attempt + finish.counts_as_attempt,
            )
        return FinishedRun(
            self._job.id,
            self._job.lease,
            finish.status,
            finish.error,
            again,
            finish.counts_as_attempt,
        )

    def _decide(self, status: JobStatus, finish: Finish, outcome: Outcome) -> None:
        """The message follows the job: a next run has its own message, a cancelled job needs none."""
        if status is JobStatus.SUCCESS:
            self._attempt.decide(Verdict.OPEN)
            return
        job = f"job {self._job.id} {self._job.name!r}"
        reason = what_went_wrong(finish.error or "")
        match status:
            case JobStatus.FAILED_REDELIVERED if finish.again_in is not None:
                wait = f"{finish.again_in.total_seconds():g} s"
                why = reason or _wish(outcome)
                self._attempt.decide(Verdict.AGAIN, f"{job} runs again in {wait}: {why}")
            case JobStatus.CANCELLED:
                self._attempt.decide(Verdict.SETTLED, f"{job} was interrupted")
            case JobStatus.FAILED if isinstance(outcome, Returned):
                self._attempt.explain(f"{job} failed: {reason or 'returned False'}")
            case JobStatus.FAILED:
                self._attempt.decide(Verdict.REJECT, f"{job} failed: {reason}")
            case _:
                self._attempt.decide(Verdict.OPEN)

    def _lose(self) -> None:
        self._attempt.decide(
            Verdict.SETTLED, f"job {self._job.id} {self._job.name!r} went to another run"
        )
        self._services.tally.add(Count.LEASES_LOST)
        log.warning("lease_lost", job_id=self._job.id, job=self._job.name, lease=self._job.lease)

    def _wait(self, redeliver: Redeliver) -> timedelta:
        return self._services.redelivery_delay if redeliver.after is None else redeliver.after


def _unwritable(finished: FinishedRun, error: Exception) -> FinishedRun:
    text = (
        f"its outcome ({finished.status}) could not be written: {type(error).__name__}: {error}\n\n"
        f"{finished.error or ''}"
    )
    return replace(
        finished, status=JobStatus.FAILED, error=text, again=None, counts_as_attempt=True
    )


def _outcome_of(reason: StopReason) -> Outcome:
    """What a run came to whose code was stopped."""
    match reason:
        case StopReason.INTERRUPTED:
            return Stopped()
        case StopReason.TIMED_OUT:
            return Raised("TimeoutError: the attempt took longer than its topic's timeout")
        case StopReason.SHUTDOWN | StopReason.LEASE_LOST:
            return GivenBack()
        case _:
            assert_never(reason)


def _wish(outcome: Outcome) -> str:
    """Why a job runs again that met no error."""
    return "it was given back" if isinstance(outcome, GivenBack) else "it asked for another run"


def error_text(error: BaseException) -> str:
    """The error's traceback with its type and message; where it is long, its beginning and its end."""
    text = "".join(traceback.format_exception(error))
    if len(text) <= ERROR_LENGTH:
        return text
    half = ERROR_LENGTH // 2
    return f"{text[:half]}\n…\n{text[3 - half :]}"
