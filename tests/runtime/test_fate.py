"""What becomes of a delivery: the table, row by row."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqjobs.model.errors import Redeliver
from mqjobs.model.result import Result
from mqjobs.model.retry import Retry
from mqjobs.processing.attempt import Verdict
from mqjobs.runtime.fate import (
    BUSY_DELAY,
    Acknowledge,
    Bury,
    Fate,
    Park,
    fate_of_error,
    fate_of_result,
)

DELAY = timedelta(seconds=10)
THRICE = Retry(attempts=3, delay=2)

VERDICTS = [
    (Verdict.PARK, Park(BUSY_DELAY, counts=False, why="why", kind="busy")),
    (Verdict.AGAIN, Acknowledge("why")),
    (Verdict.SETTLED, Acknowledge("why")),
    (Verdict.REJECT, Bury("rejected", "why")),
]


def of_result(result: object, verdict: Verdict | None = None, detail: str | None = None) -> Fate:
    return fate_of_result(result, verdict, detail, DELAY)


def of_error(
    error: BaseException,
    verdict: Verdict | None = None,
    detail: str | None = None,
    *,
    attempt: int = 1,
    retry: Retry = THRICE,
) -> Fate:
    return fate_of_error(
        error, verdict, detail, attempt=attempt, retry=retry, redelivery_delay=DELAY
    )


@pytest.mark.parametrize(
    ("result", "fate"),
    [
        (Result.ACK, Acknowledge()),
        (Result.REJECT, Bury("rejected", "the processor rejected it")),
        (Result.REQUEUE, Park(DELAY, counts=True, why="requeued")),
    ],
)
def test_a_processor_decides_where_no_job_has(result: Result, fate: Fate) -> None:
    assert of_result(result) == fate


def test_a_rejected_message_keeps_what_is_known_of_the_reason() -> None:
    assert of_result(Result.REJECT, detail="it has no root job") == Bury(
        "rejected", "it has no root job"
    )


@pytest.mark.parametrize("result", [None, True, "acked", 0])
def test_a_processor_that_returns_no_result_has_failed_and_the_letter_says_so(
    result: object,
) -> None:
    assert of_result(result) == Bury(
        "failed", f"the processor returned {result!r}: a Result was expected"
    )


@pytest.mark.parametrize(("verdict", "fate"), VERDICTS)
@pytest.mark.parametrize("result", list(Result))
def test_a_jobs_verdict_holds_whatever_the_processor_returns(
    verdict: Verdict, fate: Fate, result: Result
) -> None:
    assert of_result(result, verdict, "why") == fate


@pytest.mark.parametrize(("verdict", "fate"), VERDICTS)
@pytest.mark.parametrize("error", [ValueError("boom"), Redeliver(), TimeoutError()])
def test_a_jobs_verdict_holds_whatever_the_processor_raises(
    verdict: Verdict, fate: Fate, error: Exception
) -> None:
    assert of_error(error, verdict, "why") == fate


def test_a_verdict_without_a_reason_takes_the_errors() -> None:
    assert of_error(ValueError("boom"), Verdict.REJECT) == Bury("rejected", "boom")


@pytest.mark.parametrize(
    ("after", "wait"), [(None, DELAY), (3, timedelta(seconds=3)), (0, timedelta(0))]
)
def test_a_processor_that_asks_for_redelivery_gets_it_at_its_own_or_the_usual_delay(
    after: float | None, wait: timedelta
) -> None:
    assert of_error(Redeliver(after), attempt=99) == Park(wait, counts=True, why="redelivered")


def test_an_error_parks_the_message_while_attempts_are_left() -> None:
    assert of_error(ValueError("boom"), attempt=2) == Park(
        timedelta(seconds=4), counts=True, why="retried after ValueError: boom", kind="retried"
    )


@given(attempt=st.integers(1, 9), attempts=st.integers(1, 9))
def test_a_message_is_tried_as_often_as_its_topic_says_and_then_buried(
    attempt: int, attempts: int
) -> None:
    fate = of_error(ValueError("boom"), attempt=attempt, retry=Retry(attempts=attempts))

    assert isinstance(fate, Park if attempt < attempts else Bury)


def test_a_buried_message_keeps_the_traceback() -> None:
    try:
        raise KeyError("color")
    except KeyError as error:
        fate = of_error(error, attempt=3)

    assert isinstance(fate, Bury)
    assert fate.reason == "failed"
    assert fate.detail.startswith("Traceback")
    assert fate.detail.endswith("KeyError: 'color'\n")
