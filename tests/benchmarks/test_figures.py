import pytest

from benchmarks.figures import Spread, percentile, ratio, spread


def test_a_spread_is_the_middle_the_least_and_the_greatest() -> None:
    assert spread([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)
    assert spread([2.0, 4.0]) == Spread(3.0, 2.0, 4.0)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratio([10.0, 90.0, 30.0], [10.0, 30.0, 60.0]) == Spread(1.0, 0.5, 3.0)


def test_rounds_that_do_not_match_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


def test_a_percentile_is_what_so_many_do_not_exceed() -> None:
    values = [float(value) for value in range(101)]

    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
