from dataclasses import replace

import pytest

from benchmarks.figures import Spread
from benchmarks.plan import BY_NAME
from benchmarks.targets import ROWS, TARGETS, Target, of_rows

FASTER = Target(1, "faster", "ours", "theirs", floor=2, aim=4)
SHORTER = Target(2, "shorter", "ours", unit="ms", floor=20, aim=10, is_less_better=True)


@pytest.mark.parametrize(("value", "verdict"), [(1.99, "missed"), (2, "floor"), (4, "aim")])
def test_what_is_to_be_large_reaches_its_floor_from_below(value: float, verdict: str) -> None:
    assert FASTER.verdict(value) == verdict


@pytest.mark.parametrize(("value", "verdict"), [(20.1, "missed"), (20, "floor"), (10, "aim")])
def test_what_is_to_be_small_reaches_its_floor_from_above(value: float, verdict: str) -> None:
    assert SHORTER.verdict(value) == verdict


def test_what_is_only_shown_has_no_verdict() -> None:
    assert replace(FASTER, floor=None, aim=None).verdict(3) == ""


def test_a_target_between_two_is_their_ratio_and_one_alone_is_its_figure() -> None:
    results = {
        "ours": {"per second": [10.0, 30.0], "ms": [5.0, 7.0]},
        "theirs": {"per second": [10.0, 10.0]},
    }

    assert FASTER.value(results) == Spread(2.0, 1.0, 3.0)
    assert SHORTER.value(results) == Spread(6.0, 5.0, 7.0)


def test_a_target_has_no_value_where_half_of_it_is_missing() -> None:
    assert FASTER.value({"ours": {"per second": [1.0]}}) is None
    assert SHORTER.value({"ours": {"per second": [1.0]}}) is None


def test_more_of_the_floor_is_better_whatever_is_measured() -> None:
    assert FASTER.multiple(3) == 1.5
    assert SHORTER.multiple(10) == 2
    assert SHORTER.multiple(0) == 20


def test_every_target_is_measured() -> None:
    assert {name for target in TARGETS for name in target.measurements} <= set(BY_NAME)


def test_no_row_is_without_a_target_that_says_how_much_it_is_to_be() -> None:
    assert list(range(1, 13)) == ROWS
    assert {target.row for target in TARGETS if target.floor and target.aim} == set(ROWS)


def test_an_aim_is_never_easier_than_its_floor() -> None:
    for target in TARGETS:
        if target.aim is not None:
            assert target.multiple(target.aim) >= 1, target.title


def test_rows_are_chosen_in_their_order() -> None:
    assert [target.row for target in of_rows([7, 6])] == [6, 7]
