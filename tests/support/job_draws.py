"""What rules draw from: consumers, outcomes, numbers that pick."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from hypothesis import strategies as st

from mqjobs.model.status import JobStatus
from tests.support.job_model_calls import Outcome

SomeT = TypeVar("SomeT")

CONSUMERS = [UUID(int=number) for number in (1, 2, 3)]
PICK = st.integers(0, 63)
CONSUMER = st.sampled_from(CONSUMERS)
SUCCESS = Outcome(JobStatus.SUCCESS)
FAILED = Outcome(JobStatus.FAILED, "ValueError: no")
CANCELLED = Outcome(JobStatus.CANCELLED)
AT_ONCE = Outcome(JobStatus.FAILED_REDELIVERED, "OSError: not now", timedelta(0))
LATER = Outcome(JobStatus.FAILED_REDELIVERED, None, timedelta(seconds=10))
GIVEN_BACK = Outcome(JobStatus.FAILED_REDELIVERED, None, timedelta(0), counts=False)
OUTCOME = st.sampled_from([SUCCESS, SUCCESS, FAILED, FAILED, CANCELLED, AT_ONCE, LATER, GIVEN_BACK])
STALE_AFTER = timedelta(seconds=1800)


def chosen(options: Sequence[SomeT], pick: int) -> SomeT:
    """The option that a number picks, however many there are."""
    return options[pick % len(options)]
