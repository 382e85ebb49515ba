"""The record of a piece of work, and the names that it may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqjobs.model.errors import InvalidJobName
from mqjobs.model.job import NAME_LENGTH, Job, checked_name, is_storable
from mqjobs.model.status import JobStatus


def test_a_job_without_a_root_is_a_root() -> None:
    assert Job(1, None, "owner", "import", JobStatus.NEW).is_root
    assert not Job(2, 1, None, "import:a", JobStatus.NEW).is_root


@given(
    ended=st.tuples(*[st.integers(0, 10**6)] * 4),
    still_open=st.integers(0, 10**6),
)
def test_children_that_have_not_ended_are_open(
    ended: tuple[int, int, int, int], still_open: int
) -> None:
    success, failed, cancelled, stale = ended
    root = Job(
        1,
        None,
        "owner",
        "import",
        JobStatus.RUNNING,
        children=sum(ended) + still_open,
        children_success=success,
        children_failed=failed,
        children_cancelled=cancelled,
        children_stale=stale,
    )

    assert root.children_open == still_open


@given(st.text(min_size=1, max_size=NAME_LENGTH).filter(is_storable))
def test_a_name_that_can_be_kept_is_a_jobs_name(name: str) -> None:
    assert checked_name(name) == name


@given(st.text(min_size=NAME_LENGTH + 1, max_size=NAME_LENGTH + 50))
def test_a_name_that_is_too_long_is_refused_with_its_length(name: str) -> None:
    with pytest.raises(InvalidJobName, match=f"has {len(name)} characters: {NAME_LENGTH} at most"):
        checked_name(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("import\x00", "NUL"),
        ("caf\udce9", "half a surrogate pair"),
    ],
)
def test_a_name_that_cannot_be_kept_is_refused_with_the_reason(name: str, says: str) -> None:
    with pytest.raises(InvalidJobName, match=says):
        checked_name(name)


@given(st.text(st.characters(), max_size=20))
def test_what_can_be_kept_is_what_utf_8_can_say_without_nul(text: str) -> None:
    try:
        can_be_said = b"\x00" not in text.encode()
    except UnicodeEncodeError:
        can_be_said = False

    assert is_storable(text) == can_be_said
