import pytest

from benchmarks.plan import BY_NAME, COMPARISONS, MEASUREMENTS
from benchmarks.report import page, table, tables, written


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


def test_the_columns_of_a_table_stand_in_line() -> None:
    assert table(("work", "n"), [("a", "10"), ("longer", "2")]).splitlines() == [
        "| work   | n  |",
        "| ------ | -- |",
        "| a      | 10 |",
        "| longer | 2  |",
    ]


def test_the_tables_have_what_was_measured_and_the_ratios_that_it_allows() -> None:
    results = {
        "plain": {"per second": [100.0, 300.0]},
        "plain-peer": {"per second": [100.0, 100.0]},
    }

    told = tables(results, lambda measurement: 7)

    figures, ratios = told.split("\n\n")
    assert [cells(line) for line in figures.splitlines()[2:]] == [
        ["plain messages", "7", "per second", "200", "100 – 300"],
        ["plain messages, aio-pika", "7", "per second", "100", "100 – 100"],
    ]
    assert [cells(line) for line in ratios.splitlines()[2:]] == [
        ["plain messages: mqjobs to aio-pika", "2.00", "1.00 – 3.00"]
    ]


def test_the_page_has_every_measurement_every_ratio_and_the_versions() -> None:
    units = {name: {"per second": [2.0]} for name in BY_NAME}
    for each in COMPARISONS:
        units[each.over][each.unit] = units[each.under][each.unit] = [2.0]

    written_page = page(units, lambda measurement: measurement.size, 3, "mqjobs 0.0")

    assert all(f"| {measurement.title} " in written_page for measurement in MEASUREMENTS)
    assert all(f"| {each.title} " in written_page for each in COMPARISONS)
    assert "3 rounds" in written_page
    assert "mqjobs 0.0." in written_page


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
