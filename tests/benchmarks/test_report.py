import pytest

from benchmarks.plan import MEASUREMENTS
from benchmarks.report import figures, page, plain, reached, table, written
from benchmarks.targets import TARGETS, Target


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123, "0.12"),
        (9.87, "9.87"),
        (12.34, "12.3"),
        (123.4, "123"),
        (12_345, "12,300"),
        (999_999, "1,000,000"),
    ],
)
def test_a_value_is_written_with_three_digits_that_mean_something(value: float, text: str) -> None:
    assert written(value) == text


@pytest.mark.parametrize(("bound", "text"), [(1.05, "1.05"), (2.0, "2"), (50_000, "50,000")])
def test_a_bound_is_written_as_one_would_say_it(bound: float, text: str) -> None:
    assert plain(bound) == text


def test_the_columns_of_a_table_stand_in_line() -> None:
    assert table(("work", "n"), [("a", "10"), ("longer", "2")]).splitlines() == [
        "| work   | n  |",
        "| ------ | -- |",
        "| a      | 10 |",
        "| longer | 2  |",
    ]


def test_figures_are_told_with_their_sizes_and_spread_where_there_is_one() -> None:
    results = {
        "plain": {"per second": [100.0, 300.0]},
        "aio-pika": {"per second": [100.0]},
    }

    told = figures(results, lambda measurement: 7)

    assert cells(told) == [
        ["plain messages", "7", "per second", "200", "100 – 300"],
        ["… aio-pika", "7", "per second", "100", ""],
    ]


def test_a_row_tells_floor_aim_and_whether_they_are_reached() -> None:
    results = {
        "ours": {"per second": [30.0, 10.0, 20.0], "ms": [7.0]},
        "theirs": {"per second": [10.0, 10.0, 10.0]},
    }
    targets = [
        Target(1, "faster", "ours", "theirs", floor=1.5, aim=4),
        Target(2, "shorter", "ours", unit="ms", floor=5, aim=3, is_less_better=True),
        Target(2, "shown", "ours", "theirs"),
        Target(3, "not measured", "nowhere", floor=1, aim=2),
    ]

    assert cells(reached(results, targets)) == [
        ["1", "faster", "2.00", "1.00 – 3.00", "1.5", "4", "reached"],
        ["2", "shorter", "7.00", "", "≤ 5", "≤ 3", "**missed**"],
        ["2", "shown", "2.00", "1.00 – 3.00", "", "", ""],
    ]


def test_the_page_has_every_measurement_every_row_and_the_versions() -> None:
    results = {
        measurement.name: {"per second": [2.0, 3.0]}
        | {target.unit: [2.0, 3.0] for target in TARGETS if measurement.name in target.measurements}
        for measurement in MEASUREMENTS
    }

    text = page(results, lambda measurement: measurement.sizes.full, 3, "mqjobs 0.0")

    assert all(f"| {measurement.title} " in text for measurement in MEASUREMENTS)
    assert all(f" {target.title} " in text for target in TARGETS)
    assert "3 rounds" in text
    assert "mqjobs 0.0." in text


def cells(text: str) -> list[list[str]]:
    """Of a table's rows, without its heads."""
    lines = text.splitlines()[2:]
    return [
        [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]
        for line in lines
    ]
