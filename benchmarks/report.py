"""The report: a table of figures and one of ratios, on the terminal and as a page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template

from benchmarks.figures import Spread, ratio, spread
from benchmarks.plan import COMPARISONS, MEASUREMENTS, Measurement
from benchmarks.rounds import Results

TEMPLATE = Path(__file__).with_name("page.md")

SizeOf = Callable[[Measurement], int]
Row = tuple[str, ...]


def tables(results: Results, size_of: SizeOf) -> str:
    """What was measured, and the ratios that can be drawn from it."""
    return f"{_figures(results, size_of)}\n\n{_ratios(results)}\n"


def page(results: Results, size_of: SizeOf, rounds: int, versions: str) -> str:
    """The page about performance."""
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        figures=_figures(results, size_of),
        ratios=_ratios(results),
        rounds=rounds,
        versions=versions,
    )


def _figures(results: Results, size_of: SizeOf) -> str:
    rows = [
        (one.title, f"{size_of(one):,}", unit, *_told(spread(values)))
        for one in MEASUREMENTS
        for unit, values in results.get(one.name, {}).items()
    ]
    return table(("work", "pieces", "unit", "median", "least – most"), rows)


def _ratios(results: Results) -> str:
    rows = [
        (each.title, *_told(ratio(results[each.over][each.unit], results[each.under][each.unit])))
        for each in COMPARISONS
        if each.over in results and each.under in results
    ]
    return table(("ratio", "median", "least – most"), rows)


def table(heads: Row, rows: Sequence[Row]) -> str:
    """A table as Markdown writes it, with its columns in line."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (heads, rule, *rows)
    )


def _told(values: Spread) -> tuple[str, str]:
    return written(values.median), f"{written(values.low)} – {written(values.high)}"


def written(value: float) -> str:
    """The value with three digits that mean something."""
    if value >= 1000:
        return f"{round(value, 3 - len(str(int(value)))):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
