"""What an attempt came to, and where the job goes from there."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

from mqjobs.model.retry import Retry
from mqjobs.model.status import JobStatus


class StopReason(StrEnum):
    """Why running code was stopped from outside."""

    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    LEASE_LOST = "lease_lost"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Returned:
    """The callback returned, and this is what."""

    value: object


@dataclass(frozen=True, slots=True)
class Raised:
    """The callback raised; `error` is the text to keep: type, message and traceback."""

    error: str


@dataclass(frozen=True, slots=True)
class Redelivered:
    """The callback asked to be run again, after so long."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Stopped:
    """The callback's code was cancelled because the job was interrupted."""


@dataclass(frozen=True, slots=True)
class GivenBack:
    """The callback's code was cancelled because its consumer stops: somebody else is to run it, at once."""


Outcome = Returned | Raised | Redelivered | Stopped | GivenBack


@dataclass(frozen=True, slots=True)
class Finish:
    """Where a running job goes: a status, with the error, and the wait before it runs again."""

    status: JobStatus
    error: str | None = None
    again_in: timedelta | None = None
    counts_as_attempt: bool = True


def after_attempt(  # noqa: C901, PLR0911  a table, to be read as one
    outcome: Outcome, attempt: int, retry: Retry
) -> Finish:
    """Where a running job goes after this attempt (the first is 1) under its topic's retry policy."""
    match outcome:
        case Returned(True):
            return Finish(JobStatus.SUCCESS)
        case Returned(False):
            return Finish(JobStatus.FAILED)
        case Returned(value):
            return Finish(
                JobStatus.FAILED,
                error=f"the job's callback returned {value!r}: True or False was expected",
            )
        case Raised(error) if attempt >= retry.attempts:
            return Finish(JobStatus.FAILED, error=error)
        case Raised(error):
            return Finish(
                JobStatus.FAILED_REDELIVERED, error=error, again_in=retry.delay_after(attempt)
            )
        case Redelivered(after):
            return Finish(JobStatus.FAILED_REDELIVERED, again_in=after)
        case Stopped():
            return Finish(JobStatus.CANCELLED)
        case GivenBack():
            return Finish(
                JobStatus.FAILED_REDELIVERED, again_in=timedelta(0), counts_as_attempt=False
            )
        case _:
            assert_never(outcome)
