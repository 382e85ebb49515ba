"""Retry policies: how often, and how long after a failure."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqjobs.model.retry import LONGEST, STEEPEST, Retry

policies = st.builds(
    Retry,
    attempts=st.integers(1, 1000),
    delay=st.floats(0, LONGEST),
    factor=st.floats(1, STEEPEST),
    max_delay=st.floats(0, LONGEST),
)
attempts = st.integers(1, 10**9)


def test_nothing_is_tried_again_unless_a_topic_asks_for_it() -> None:
    assert Retry().attempts == 1


def test_the_wait_grows_by_the_factor_up_to_the_maximum() -> None:
    retry = Retry(attempts=9, delay=2, factor=3, max_delay=50)

    waits = [retry.delay_after(attempt).total_seconds() for attempt in (1, 2, 3, 4, 5)]

    assert waits == [2, 6, 18, 50, 50]


@given(policies, attempts)
def test_the_wait_is_never_negative_and_never_more_than_the_maximum(
    retry: Retry, attempt: int
) -> None:
    longest = timedelta(seconds=retry.max_delay)

    assert timedelta(0) <= retry.delay_after(attempt) <= longest


@given(policies, attempts)
def test_the_wait_never_shrinks_with_the_attempts(retry: Retry, attempt: int) -> None:
    assert retry.delay_after(attempt) <= retry.delay_after(attempt + 1)


@given(policies)
def test_the_first_wait_is_the_delay(retry: Retry) -> None:
    assert retry.delay_after(1) == timedelta(seconds=min(retry.delay, retry.max_delay))


@pytest.mark.parametrize("given_attempts", [0, -1])
def test_less_than_one_attempt_is_refused(given_attempts: int) -> None:
    with pytest.raises(ValueError, match="give 1 or more, the first try counts"):
        Retry(attempts=given_attempts)


@pytest.mark.parametrize("wait", [-0.1, float("nan"), float("inf"), LONGEST + 1])
def test_a_wait_that_no_message_can_have_is_refused(wait: float) -> None:
    with pytest.raises(ValueError, match="delay and max_delay are 0 s to 10 years"):
        Retry(attempts=2, delay=wait)
    with pytest.raises(ValueError, match="delay and max_delay are 0 s to 10 years"):
        Retry(attempts=2, max_delay=wait)


@pytest.mark.parametrize("factor", [0.5, 101, float("nan")])
def test_waits_that_shrink_or_explode_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="factor is 1 to 100"):
        Retry(attempts=2, factor=factor)
