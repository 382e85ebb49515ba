"""The table of all settings in docs/configuration.md, made of the settings: `python -m tests.docs.settings_table`."""

from datetime import timedelta
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from mqjobs.app.settings import PREFIX, Settings
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- settings -->\n", "<!-- end of settings -->"
HEAD = "| variable | default | values | means |\n| --- | --- | --- | --- |\n"


def table() -> str:
    """One row for each setting, in their order."""
    return HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def table_in(text: str) -> str:
    """The table that the page has."""
    return text.partition(BEGIN)[2].partition(END)[0]


def with_table(text: str) -> str:
    """The page with the table as it should be."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + begin + table() + end + after


def _row(name: str, field: FieldInfo) -> str:
    means = (field.description or "").replace("|", "\\|")
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {_values(field)} | {means} |\n"


def _default(field: FieldInfo) -> str:
    match field.get_default(call_default_factory=True):
        case None | () | {}:
            return "–"
        case timedelta() as duration:
            return f"`{duration.total_seconds():.10g}`"
        case value:
            return f"`{value}`"


def _values(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind in {timedelta, timedelta | None}:
        return "seconds"
    if kind in {int, int | None}:
        return f"a whole number{_at_least(field.metadata)}"
    return {
        "tuple[str, ...]": "names with commas between them, or as a JSON list",
        "dict[str, float]": "JSON: an object",
    }.get(str(kind), "text")


def _at_least(constraints: list[Any]) -> str:
    least = [each.ge for each in constraints if isinstance(each, annotated_types.Ge)]
    return f" from {least[0]} on" if least else ""


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
