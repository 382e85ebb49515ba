"""The tree of errors, and what a processor raises to see its message again."""

from datetime import timedelta

import pytest

from mqjobs.model import errors
from mqjobs.model.errors import MqjobsError, Redeliver

TREE = [line.split() for line in (errors.__doc__ or "").splitlines() if "──" in line]


def test_every_error_is_one_of_ours() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    strangers = {each for each in found if issubclass(each, Exception)} - {Redeliver}

    assert all(issubclass(each, MqjobsError) for each in strangers)


def test_the_tree_that_is_drawn_is_the_tree_that_is() -> None:
    drawn = {next(word for word in line if word.isalpha()) for line in TREE}
    there = {each.__name__ for each in vars(errors).values() if isinstance(each, type)}

    assert drawn == there - {"MqjobsError", "Redeliver", "timedelta"}


@pytest.mark.parametrize("after", [-1, timedelta(seconds=-1), timedelta.max])
def test_a_wait_that_no_clock_can_add_is_an_error_of_who_asks(after: timedelta | float) -> None:
    with pytest.raises(ValueError, match="give 0 s to 10 years"):
        Redeliver(after)


def test_asking_for_redelivery_is_no_error_of_ours() -> None:
    assert not issubclass(Redeliver, MqjobsError)


@pytest.mark.parametrize(
    ("given", "after"),
    [
        (None, None),
        (0, timedelta(0)),
        (2.5, timedelta(seconds=2.5)),
        (timedelta(minutes=1), timedelta(minutes=1)),
    ],
)
def test_the_wait_before_a_redelivery_is_a_timedelta_or_seconds(
    given: timedelta | float | None, after: timedelta | None
) -> None:
    assert Redeliver(given).after == after
