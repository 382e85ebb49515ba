"""What a processor says of a message."""

import pytest

from mqjobs.model.result import Result


@pytest.mark.parametrize(
    ("outcome", "result"), [(True, Result.ACK), (False, Result.REJECT), (None, Result.REJECT)]
)
def test_a_job_that_succeeded_is_acknowledged_and_any_other_rejected(
    outcome: bool | None, result: Result
) -> None:
    assert Result.of(outcome) is result
