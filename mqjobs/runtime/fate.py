"""What becomes of a delivery once its processor has ended."""

from dataclasses import dataclass
from datetime import timedelta

from mqjobs.model.errors import Redeliver
from mqjobs.model.message import DeadReason
from mqjobs.model.result import Result
from mqjobs.model.retry import Retry
from mqjobs.model.tracebacks import what_went_wrong
from mqjobs.processing.attempt import Verdict
from mqjobs.processing.job_run import error_text

BUSY_DELAY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The message is done; `why` where it was not its processor that did it."""

    why: str | None = None


@dataclass(frozen=True, slots=True)
class Park:
    """The message comes again after a delay, and the attempt counts or does not; `kind` is what is counted."""

    delay: timedelta
    counts: bool
    why: str
    kind: str = "asked"


@dataclass(frozen=True, slots=True)
class Bury:
    """The message is kept as a dead letter."""

    reason: DeadReason
    detail: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The message goes back to its queue as if it had not come."""


Fate = Acknowledge | Park | Bury | GiveBack


def fate_of_result(
    result: object, verdict: Verdict | None, detail: str | None, redelivery_delay: timedelta
) -> Fate:
    """Where a message goes whose processor returned."""
    decided = _of_verdict(verdict, detail)
    if decided is not None:
        return decided
    match result:
        case Result.ACK:
            return Acknowledge()
        case Result.REJECT:
            return Bury("rejected", detail or "the processor rejected it")
        case Result.REQUEUE:
            return Park(redelivery_delay, counts=True, why="requeued")
        case _:
            return Bury("failed", f"the processor returned {result!r}: a Result was expected")


def fate_of_error(
    error: BaseException,
    verdict: Verdict | None,
    detail: str | None,
    *,
    attempt: int,
    retry: Retry,
    redelivery_delay: timedelta,
) -> Fate:
    """Where a message goes whose processor raised, on this attempt (the first is 1)."""
    decided = _of_verdict(verdict, detail or str(error))
    if decided is not None:
        return decided
    if isinstance(error, Redeliver):
        after = redelivery_delay if error.after is None else error.after
        return Park(after, counts=True, why="redelivered")
    text = error_text(error)
    if attempt < retry.attempts:
        why = f"retried after {what_went_wrong(text)}"
        return Park(retry.delay_after(attempt), counts=True, why=why, kind="retried")
    return Bury("failed", text)


def _of_verdict(verdict: Verdict | None, detail: str | None) -> Fate | None:
    """What jobs have decided; None: the processor decides."""
    match verdict:
        case None | Verdict.OPEN:
            return None
        case Verdict.PARK:
            return Park(
                BUSY_DELAY, counts=False, why=detail or "its job runs elsewhere", kind="busy"
            )
        case Verdict.SETTLED | Verdict.AGAIN:
            return Acknowledge(detail or "its job has ended")
        case Verdict.REJECT:
            return Bury("rejected", detail or "its job cannot run")
