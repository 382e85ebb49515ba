"""An attempt: one run of a processor at one delivery, as those see it who run it and stop it."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from math import inf
from uuid import UUID

from mqjobs.model.message import Envelope
from mqjobs.model.outcome import StopReason
from mqjobs.model.retry import Retry


class Verdict(StrEnum):
    """What jobs have decided about the delivery, whatever the processor returns or raises; the worst first.

    PARK: a job runs elsewhere, or its outcome is just being written; the message waits. AGAIN: a job runs again, and
    what asks for that is written; acknowledge. REJECT: keep the message as a dead letter. OPEN: a job ended as its
    code returned; the processor decides. SETTLED: there was nothing to run any more; acknowledge.

    Of several jobs in one attempt the worst verdict counts, and of equal ones the later: a message that somebody
    still waits for is not thrown away, and a failure is not hidden by a job that had nothing to do.
    """

    PARK = "park"
    AGAIN = "again"
    REJECT = "reject"
    OPEN = "open"
    SETTLED = "settled"


WORST_FIRST = list(Verdict)


class Attempt:
    """What is known of a processor's run: its message, the verdict so far, and how to stop it."""

    def __init__(self, envelope: Envelope, queue: str, retry: Retry) -> None:
        self.envelope = envelope
        self.queue = queue
        self.retry = retry
        self.verdict: Verdict | None = None
        self.detail: str | None = None
        self.stop_reason: StopReason | None = None
        self.stopped_at: float | None = None
        self.looked_at_a_job = False
        self.ran_a_job = False
        self.recalled: str | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancels = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """The task of the caller is what `stop` cancels; after the block it is as if it had not been."""
        self._task = task = asyncio.current_task()
        try:
            yield
        finally:
            self._task = None
            _uncancel(task, self._cancels)

    def stop(self, reason: StopReason) -> None:
        """All code of the attempt gets cancelled; the first reason counts."""
        if self._task is not None and self.stop_reason is None:
            self.stop_reason = reason
            self.stopped_at = time.monotonic()
            self.insist()

    def insist(self) -> None:
        """It gets cancelled once more."""
        if self._task is not None:
            self._cancels += 1
            self._task.cancel()

    def ignores_stop(self, grace: timedelta) -> bool:
        """Whether its code goes on although it was stopped so long ago, and was not cancelled again since."""
        if self.stopped_at is None or self._task is None or self._cancels > 1:
            return False
        return time.monotonic() - self.stopped_at >= grace.total_seconds()

    def explain(self, detail: str) -> None:
        """Should the processor reject the message, this is why."""
        self.decide(Verdict.OPEN, detail)

    def recall(self, what: str) -> None:
        """Should the processor acknowledge the message without having run a job, this is why there was none to run."""
        self.recalled = what

    def decide(self, verdict: Verdict, detail: str | None = None) -> None:
        """A job has come to this verdict; `detail` says why."""
        if self.verdict is None or _is_as_bad(verdict, self.verdict):
            self.verdict = verdict
            self.detail = detail


class HeldRun:
    """One run of a job that this consumer holds the lease for, in the task that runs its code.

    What stops it stops this run alone: others of the same attempt go on, and end as they would.
    """

    def __init__(self, job_id: int, lease: int, attempt: Attempt) -> None:
        self.job_id = job_id
        self.lease = lease
        self.attempt = attempt
        self.take_away: Callable[[StopReason], Awaitable[None]] | None = None
        self.was_taken_away = False
        self._own_reason: StopReason | None = None
        self._own_stop_at: float | None = None
        self._task = asyncio.current_task()
        self._cancels = 0
        self._cancelled_before = 0
        self._is_running = True

    @property
    def stop_reason(self) -> StopReason | None:
        """Why its code was stopped: it alone, or all of its attempt."""
        return self._own_reason or self.attempt.stop_reason

    @property
    def was_stopped_alone(self) -> bool:
        """Whether only this run was stopped."""
        return self._own_reason is not None

    @property
    def was_interrupted_alone(self) -> bool:
        """Whether an interrupt of this run is all that has ended its code, so that what called it goes on."""
        if self._own_reason is not StopReason.INTERRUPTED or self.attempt.stop_reason is not None:
            return False
        return _cancelling(self._task) <= self._cancelled_before

    def ignores_stop(self, grace: timedelta) -> bool:
        """Whether its code goes on although it was stopped so long ago, and nothing was done about it."""
        began = self._own_stop_at if self.was_stopped_alone else self.attempt.stopped_at
        if began is None or not self._is_running or self.was_taken_away:
            return False
        return time.monotonic() - began >= grace.total_seconds()

    def stop(self, reason: StopReason) -> bool:
        """Its code gets cancelled, and the first reason counts; False where it has ended, so that none does."""
        if self._is_running and self._own_reason is None:
            self._own_reason = reason
            self._own_stop_at = time.monotonic()
            # Not always none: where a task group of its own has failed, Python 3.11 leaves one behind.
            self._cancelled_before = _cancelling(self._task)
            self.insist()
        return self._is_running

    def insist(self) -> None:
        """Its code gets cancelled once more, if it was this run that was stopped."""
        if self._is_running and self.was_stopped_alone and self._task is not None:
            self._cancels += 1
            self._task.cancel()

    @contextmanager
    def code(self) -> Iterator[None]:
        """The job's code runs within the block; after it the task is as if this run had not been stopped."""
        try:
            yield
        finally:
            self._is_running = False
            _uncancel(self._task, self._cancels)
            self._cancels = 0


class Runs:
    """The runs that this consumer holds leases for, in whose name it claims."""

    def __init__(self, consumer_id: UUID) -> None:
        self.consumer_id = consumer_id
        self.is_full = False
        self._trusted_until = inf
        self._held: dict[int, HeldRun] = {}
        self._claimed: Counter[int] = Counter()

    @contextmanager
    def held(self, job_id: int, lease: int, attempt: Attempt) -> Iterator[HeldRun]:
        """Within the block this consumer runs the job under this lease; an older run of it here is stopped."""
        older = self._held.get(job_id)
        if older is not None:
            older.stop(StopReason.LEASE_LOST)
        self._held[job_id] = held = HeldRun(job_id, lease, attempt)
        try:
            yield held
        finally:
            if self._held.get(job_id) is held:
                del self._held[job_id]

    @contextmanager
    def claiming(self, job_id: int) -> Iterator[None]:
        """Within the block a claim of the job is on its way, and its answer is acted on."""
        self._claimed[job_id] += 1
        try:
            yield
        finally:
            self._claimed[job_id] -= 1
            if not self._claimed[job_id]:
                del self._claimed[job_id]

    @property
    def are_trusted(self) -> bool:
        """Whether all others still know that this consumer lives; else they may run what runs here."""
        return time.monotonic() < self._trusted_until

    def trust_until(self, moment: float) -> None:
        """Others know so until this moment of the monotonic clock."""
        self._trusted_until = moment

    def jobs(self) -> set[int]:
        """The jobs that run here, or may in a moment."""
        return {*self._held, *self._claimed}

    def that_ignore_stops(self, grace: timedelta) -> list[HeldRun]:
        """The runs whose code was stopped so long ago and goes on."""
        return [held for held in self._held.values() if held.ignores_stop(grace)]

    def of(self, attempt: Attempt) -> list[HeldRun]:
        """The runs of this attempt."""
        return [held for held in self._held.values() if held.attempt is attempt]

    def leases(self) -> dict[int, int]:
        """The lease of each job that runs here."""
        return {job_id: held.lease for job_id, held in self._held.items()}

    def stop(self, job_id: int, lease: int, reason: StopReason) -> bool:
        """The code that runs the job under this lease gets cancelled; False where it has ended."""
        held = self._held.get(job_id)
        return held is not None and held.lease == lease and held.stop(reason)


def _is_as_bad(one: Verdict, other: Verdict) -> bool:
    return WORST_FIRST.index(one) <= WORST_FIRST.index(other)


def _cancelling(task: "asyncio.Task[object] | None") -> int:
    """How often this task was cancelled."""
    return 0 if task is None else task.cancelling()


def _uncancel(task: "asyncio.Task[object] | None", times: int) -> None:
    if task is not None:
        for _ in range(times):
            task.uncancel()
