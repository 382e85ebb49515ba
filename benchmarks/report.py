"""The report: a table of what is to be reached and one of all figures, on the terminal and as a page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template

from benchmarks.figures import Spread, spread
from benchmarks.plan import MEASUREMENTS, Measurement
from benchmarks.targets import TARGETS, Results, Target

TEMPLATE = Path(__file__).with_name("page.md")

SizeOf = Callable[[Measurement], int]
Row = tuple[str, ...]

VERDICTS = {"aim": "aim reached", "floor": "reached", "missed": "**missed**", "": ""}


def tables(results: Results, size_of: SizeOf, targets: Sequence[Target] = TARGETS) -> str:
    """What of these rows was reached, and what was measured for it and besides."""
    return f"{reached(results, targets)}\n\n{figures(results, size_of)}\n"


def page(results: Results, size_of: SizeOf, rounds: int, versions: str) -> str:
    """The page about performance."""
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        reached=reached(results),
        figures=figures(results, size_of),
        rounds=rounds,
        versions=versions,
    )


def reached(results: Results, targets: Sequence[Target] = TARGETS) -> str:
    """The rows, each with its median, and whether that is what it is to be."""
    rows = [
        _row(target, value) for target in targets if (value := target.value(results)) is not None
    ]
    heads = ("row", "work", "median", "least – most", "floor", "aim", "")
    return table(heads, rows)


def _row(target: Target, value: Spread) -> Row:
    at = "≤ " if target.is_less_better else ""
    floor = "" if target.floor is None else f"{at}{plain(target.floor)}"
    aim = "" if target.aim is None else f"{at}{plain(target.aim)}"
    verdict = VERDICTS[target.verdict(value.median)]
    return (str(target.row), target.title, *_told(value), floor, aim, verdict)


def figures(results: Results, size_of: SizeOf) -> str:
    """Everything that was measured."""
    rows = [
        (one.title, f"{size_of(one):,}", unit, *_told(spread(values)))
        for one in MEASUREMENTS
        for unit, values in results.get(one.name, {}).items()
    ]
    return table(("work", "pieces", "unit", "median", "least – most"), rows)


def table(heads: Row, rows: Sequence[Row]) -> str:
    """A table as Markdown writes it, with its columns in line."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    rule = tuple("-" * max(width, 1) for width in widths)
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (heads, rule, *rows)
    )


def _told(values: Spread) -> tuple[str, str]:
    if values.low == values.high:
        return written(values.median), ""
    return written(values.median), f"{written(values.low)} – {written(values.high)}"


def written(value: float) -> str:
    """The value with three digits that mean something."""
    if value >= 1000:
        return f"{round(value, 3 - len(str(int(value)))):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def plain(value: float) -> str:
    """A bound as one would say it."""
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
