"""Where a job goes from an attempt: the table, row by row, and what holds for all of it."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mqjobs.model.outcome import (
    Finish,
    GivenBack,
    Outcome,
    Raised,
    Redelivered,
    Returned,
    Stopped,
    after_attempt,
)
from mqjobs.model.retry import Retry
from mqjobs.model.status import CHILD_MOVES, JobStatus

ONCE = Retry()
THRICE = Retry(attempts=3, delay=2, factor=3)

retries = st.builds(
    Retry,
    attempts=st.integers(1, 50),
    delay=st.floats(0, 1e6),
    factor=st.floats(1, 10),
    max_delay=st.floats(0, 1e6),
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Returned, st.one_of(st.booleans(), st.none(), st.integers(), st.text(max_size=5))),
    st.builds(Raised, st.text(max_size=20)),
    st.builds(Redelivered, st.timedeltas(timedelta(0), timedelta(days=3650))),
    st.builds(Stopped),
    st.builds(GivenBack),
)


@given(outcome=outcomes, attempt=st.integers(1, 100), retry=retries)
def test_every_outcome_leads_somewhere_that_a_running_job_may_go(
    outcome: Outcome, attempt: int, retry: Retry
) -> None:
    finish = after_attempt(outcome, attempt, retry)

    assert finish.status in CHILD_MOVES[JobStatus.RUNNING] - {JobStatus.STALE}


@given(outcome=outcomes, attempt=st.integers(1, 100), retry=retries)
def test_a_job_waits_for_its_next_run_if_and_only_if_it_is_tried_again(
    outcome: Outcome, attempt: int, retry: Retry
) -> None:
    finish = after_attempt(outcome, attempt, retry)

    assert (finish.again_in is not None) == (finish.status is JobStatus.FAILED_REDELIVERED)
    assert finish.again_in is None or finish.again_in >= timedelta(0)


def test_true_is_success() -> None:
    assert after_attempt(Returned(value=True), 1, ONCE) == Finish(JobStatus.SUCCESS)


def test_false_is_failed_however_many_attempts_are_left() -> None:
    assert after_attempt(Returned(value=False), 1, THRICE) == Finish(JobStatus.FAILED)


@given(st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.booleans())))
def test_anything_else_than_true_or_false_has_failed_and_the_error_says_so(value: object) -> None:
    finish = after_attempt(Returned(value), 1, THRICE)

    assert finish.status is JobStatus.FAILED
    assert finish.error == f"the job's callback returned {value!r}: True or False was expected"


def test_one_and_nought_are_not_true_and_false() -> None:
    assert after_attempt(Returned(1), 1, ONCE).status is JobStatus.FAILED
    assert "returned 0" in (after_attempt(Returned(0), 1, ONCE).error or "")


def test_a_raised_exception_fails_at_once_where_the_topic_asks_for_no_retry() -> None:
    assert after_attempt(Raised("boom"), 1, ONCE) == Finish(JobStatus.FAILED, error="boom")


def test_a_raised_exception_is_tried_again_while_attempts_are_left_and_fails_with_the_last() -> (
    None
):
    finishes = [after_attempt(Raised("boom"), attempt, THRICE) for attempt in (1, 2, 3)]

    assert finishes == [
        Finish(JobStatus.FAILED_REDELIVERED, error="boom", again_in=timedelta(seconds=2)),
        Finish(JobStatus.FAILED_REDELIVERED, error="boom", again_in=timedelta(seconds=6)),
        Finish(JobStatus.FAILED, error="boom"),
    ]


@given(attempt=st.integers(1, 100))
def test_a_job_that_asks_for_redelivery_gets_it_whatever_its_attempts(attempt: int) -> None:
    finish = after_attempt(Redelivered(timedelta(seconds=4)), attempt, ONCE)

    assert finish == Finish(JobStatus.FAILED_REDELIVERED, again_in=timedelta(seconds=4))


def test_an_interrupted_job_is_cancelled() -> None:
    assert after_attempt(Stopped(), 1, THRICE) == Finish(JobStatus.CANCELLED)


def test_a_job_that_is_given_back_runs_again_at_once_and_the_run_does_not_count() -> None:
    assert after_attempt(GivenBack(), 9, ONCE) == Finish(
        JobStatus.FAILED_REDELIVERED, again_in=timedelta(0), counts_as_attempt=False
    )
