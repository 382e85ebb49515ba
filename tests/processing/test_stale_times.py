"""How long a root may be silent: the longest name or prefix that is configured wins."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqjobs.processing.stale_times import DEFAULT_SECONDS, StaleTimes

TIMES = StaleTimes({"import": 60, "import:shop": 120, "import:shop.old": -1, "a.b:c": 5})

parts = st.text("ab", min_size=1, max_size=3)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("import", 60),
        ("import:x", 60),
        ("import.x:y", 60),
        ("import:shop", 120),
        ("import:shop.new", 120),
        ("import:shop:1", 120),
        ("a.b:c", 5),
        ("a.b:c.d", 5),
        ("imported", DEFAULT_SECONDS),
        ("import-x", DEFAULT_SECONDS),
        ("import:shopping", 60),
        ("a.b", DEFAULT_SECONDS),
        ("other", DEFAULT_SECONDS),
        ("", DEFAULT_SECONDS),
    ],
)
def test_a_prefix_counts_up_to_a_dot_or_colon_and_the_longest_wins(
    name: str, seconds: float
) -> None:
    assert TIMES.of(name) == timedelta(seconds=seconds)


@pytest.mark.parametrize("name", ["import:shop.old", "import:shop.old:1"])
def test_minus_one_is_never(name: str) -> None:
    assert TIMES.of(name) is None


@pytest.mark.parametrize("default", [-1, None])
def test_the_default_may_be_never(default: float | None) -> None:
    assert StaleTimes(default=default).of("import") is None


@given(
    configured=st.lists(st.lists(parts, min_size=1, max_size=4), max_size=8),
    asked=st.lists(parts, min_size=1, max_size=6),
)
def test_the_longest_configured_prefix_is_the_one_that_counts(
    configured: list[list[str]], asked: list[str]
) -> None:
    by_name = {".".join(each): float(len(each)) for each in configured}
    matching = [len(each) for each in configured if asked[: len(each)] == each]
    expected = max(matching) if matching else DEFAULT_SECONDS

    assert StaleTimes(by_name).of(".".join(asked)) == timedelta(seconds=expected)
