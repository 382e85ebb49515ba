"""An attempt: one run of a processor at one delivery, as those see it who run it and stop it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from math import inf
from uuid import UUID

from mqjobs.model.message import Envelope
from mqjobs.model.outcome import StopReason
from mqjobs.model.retry import Retry


class Verdict(StrEnum):
    """What a job has already decided about the delivery, whatever the processor returns or raises.

    PARK: the job runs elsewhere, or its outcome is just being written; the message waits. SETTLED: what is to happen
    is written; acknowledge. REJECT: keep it as a dead letter. None of these: the processor decides.
    """

    PARK = "park"
    SETTLED = "settled"
    REJECT = "reject"


class Attempt:
    """What is known of a processor's run: its message, the verdict so far, and how to stop it."""

    def __init__(self, envelope: Envelope, queue: str, retry: Retry) -> None:
        self.envelope = envelope
        self.queue = queue
        self.retry = retry
        self.verdict: Verdict | None = None
        self.detail: str | None = None
        self.stop_reason: StopReason | None = None
        self.looked_at_a_job = False
        self.ran_a_job = False
        self.recalled: str | None = None
        self._task: asyncio.Task[object] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """The task of the caller is what `stop` cancels."""
        self._task = asyncio.current_task()
        try:
            yield
        finally:
            self._task = None

    def stop(self, reason: StopReason) -> None:
        """The running code gets cancelled; the first reason counts."""
        if self._task is not None and self.stop_reason is None:
            self.stop_reason = reason
            self._task.cancel()

    def explain(self, detail: str) -> None:
        """Should the processor reject the message, this is why."""
        self.detail = detail

    def recall(self, what: str) -> None:
        """Should the processor acknowledge the message without having run a job, this is why there was none to run."""
        self.recalled = what

    def decide(self, verdict: Verdict, detail: str | None = None) -> None:
        """From here on the verdict is this; `detail` says why."""
        self.verdict = verdict
        self.detail = detail


class Runs:
    """The runs that this consumer holds leases for, in whose name it claims.

    `is_full`: as many as may run do run; what else it has at hand waits until one has ended.
    """

    def __init__(self, consumer_id: UUID) -> None:
        self.consumer_id = consumer_id
        self.is_full = False
        self._trusted_until = inf
        self._held: dict[int, tuple[int, Attempt]] = {}

    @contextmanager
    def held(self, job_id: int, lease: int, attempt: Attempt) -> Iterator[None]:
        """Within the block this consumer runs the job under this lease; an older run of it here is stopped."""
        older = self._held.get(job_id)
        if older is not None:
            older[1].stop(StopReason.LEASE_LOST)
        self._held[job_id] = held = (lease, attempt)
        try:
            yield
        finally:
            if self._held.get(job_id) is held:
                del self._held[job_id]

    @property
    def are_trusted(self) -> bool:
        """Whether all others still know that this consumer lives; else they may run what runs here."""
        return time.monotonic() < self._trusted_until

    def trust_until(self, moment: float) -> None:
        """Others know so until this moment of the monotonic clock."""
        self._trusted_until = moment

    def leases(self) -> dict[int, int]:
        """The lease of each job that runs here."""
        return {job_id: lease for job_id, (lease, _) in self._held.items()}

    def stop(self, job_id: int, lease: int, reason: StopReason) -> bool:
        """The code that runs the job under this lease gets cancelled; False where it has ended."""
        held = self._held.get(job_id)
        if held is None or held[0] != lease:
            return False
        held[1].stop(reason)
        return True
