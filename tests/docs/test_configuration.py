"""The page about settings has every one of them, with its default, and values that can be read."""

import pytest

from mqjobs.app.settings import PREFIX, Settings, read_settings
from tests.docs.settings_table import PAGE, table, table_in

VALUES = {
    "text": "postgres:",
    "seconds": "1.5",
    "a whole number": "100",
    "names with commas between them, or as a JSON list": "mail,search",
    "JSON: an object": '{"search": -1}',
}


def test_the_page_has_the_table_of_all_settings() -> None:
    assert table_in(PAGE.read_text("utf-8")) == table(), (
        "renew it: python -m tests.docs.settings_table"
    )


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("row", table().splitlines()[2:], ids=lambda row: row.split("|")[1].strip())
def test_a_variable_has_the_default_and_takes_the_values_of_its_row(
    row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable, default, values, _ = (cell.strip(" `") for cell in row.split("|", 4)[1:])
    field = variable.removeprefix(PREFIX).lower()
    by_itself = getattr(read_settings({}), field)

    for value in values.split("`, `") if "`" in values else [_example(values)]:
        monkeypatch.setenv(variable, value)
        assert getattr(read_settings({variable: value}), field) is not None
    if default != "–":
        monkeypatch.setenv(variable, default)
        assert getattr(read_settings({variable: default}), field) == by_itself


def _example(values: str) -> str:
    return VALUES[values.partition(" from ")[0]]
