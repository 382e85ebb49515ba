from dataclasses import replace
from pathlib import Path

from tests.faults.checker import FORBIDDEN, Findings
from tests.faults.report import Numbers, keep, kept, told, with_numbers

COUNTS = {"child jobs": 1200, "deaths": 7, "run again after a death or a stop": 3}
NUMBERS = Numbers(
    ["kill", "freeze"], "rabbitmq", 1, 100, 60, "mqjobs 1", COUNTS, dict.fromkeys(FORBIDDEN, 0)
)


def test_what_was_found_is_told_with_the_first_few_of_what_should_not_have_been() -> None:
    found = {"lost": [f"message {number}" for number in range(7)], "overlapping": []}

    text = told(Findings({"sent": 1234}, found))

    assert "1,234  sent" in text
    assert "7  lost: sends that returned and came to nothing" in text
    assert "message 4" in text
    assert "message 5" not in text
    assert "… and 2 more" in text


def test_numbers_that_are_kept_are_read_again(tmp_path: Path) -> None:
    keep(NUMBERS, tmp_path / "runs")
    keep(replace(NUMBERS, seed=2), tmp_path / "runs")

    assert kept(tmp_path / "runs") == [NUMBERS, replace(NUMBERS, seed=2)]


def test_the_page_has_the_sums_and_each_run_between_its_marks() -> None:
    page = "# Page\n\n<!-- numbers -->\nold\n<!-- /numbers -->\n\nThe rest.\n"

    written = with_numbers(page, [NUMBERS, replace(NUMBERS, seed=2)])

    assert written.startswith("# Page\n\n<!-- numbers -->\n2 runs, 2 minutes under fire in all.")
    assert written.endswith("<!-- /numbers -->\n\nThe rest.\n")
    assert "old" not in written
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in written.splitlines()
        if line.startswith("|")
    ]
    assert ["child jobs", "2,400"] in rows
    assert ["**sends that returned and came to nothing**", "**0**"] in rows
    assert ["kill, freeze", "rabbitmq", "60", "100", "2", "1,200", "7", "3", "0"] in rows
