"""Charts of the page, as SVG that can be read on light and on dark paper; the same figures draw the same file."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from benchmarks.figures import spread
from benchmarks.report import written
from benchmarks.targets import MOST_TIMES, PER_SECOND, TARGETS, Results, Target

INK, OURS, THEIRS, MISSED = "#7d8590", "#2f81f7", "#8b949e", "#d1663a"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mqjobs",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
}
WIDTH, BAR = 7.2, 0.34

MESSAGES = {
    "plain": "mqjobs",
    "aio-pika": "aio-pika alone",
    "dramatiq": "dramatiq",
    "faststream": "FastStream",
    "celery": "celery",
    "taskiq": "taskiq",
}
JOBS = {
    "children": "mqjobs over RabbitMQ",
    "children-postgres": "mqjobs over PostgreSQL",
    "unique": "mqjobs, unique single jobs",
    "pgqueuer": "pgqueuer",
    "procrastinate": "procrastinate",
}
PEERS = frozenset(
    {"aio-pika", "dramatiq", "faststream", "celery", "taskiq", "pgqueuer", "procrastinate"}
)


def draw(results: Results, folder: Path) -> None:
    """Write those charts into the folder for which there are figures."""
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for name, labels in (("messages", MESSAGES), ("jobs", JOBS)):
            if chosen := [each for each in labels if PER_SECOND in results.get(each, {})]:
                _save(
                    _bars(results, chosen, [labels[each] for each in chosen]),
                    folder / f"{name}.svg",
                )
        if targets := [each for each in TARGETS if each.floor and each.value(results)]:
            _save(_against_floors(results, targets), folder / "targets.svg")


def _bars(results: Results, names: Sequence[str], labels: Sequence[str]) -> Figure:
    """How many in a second, with the least and the most of all rounds."""
    spreads = [spread(results[name][PER_SECOND]) for name in names]
    figure = Figure(figsize=(WIDTH, 0.6 + BAR * len(names)))
    axes = figure.subplots()
    medians = [each.median for each in spreads]
    axes.barh(
        labels,
        medians,
        height=0.62,
        color=[THEIRS if name in PEERS else OURS for name in names],
        xerr=[
            [each.median - each.low for each in spreads],
            [each.high - each.median for each in spreads],
        ],
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
    )
    most = max(each.high for each in spreads)
    for place, each in enumerate(spreads):
        axes.text(each.high + most * 0.015, place, written(each.median), va="center")
    axes.set_xlim(0, most * 1.12)
    axes.invert_yaxis()
    axes.set_xlabel("per second")
    _plain(axes)
    return figure


def _against_floors(results: Results, targets: Sequence[Target]) -> Figure:
    """Each median as a multiple of what it is to be at least, so that more is better and 1 is the floor."""
    figure = Figure(figsize=(WIDTH, 0.6 + BAR * len(targets)))
    axes = figure.subplots()
    for place, target in enumerate(targets):
        value = target.value(results)
        assert value is not None
        reached = min(target.multiple(value.median), MOST_TIMES)
        color = OURS if reached >= 1 else MISSED
        axes.plot([1, reached], [place, place], color=color, linewidth=2)
        axes.plot([reached], [place], "o", color=color)
        if target.aim is not None:
            axes.plot([target.multiple(target.aim)], [place], "|", color=INK, markersize=11)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xscale("log")
    ticks = [0.25, 0.5, 1, 2, 4, 8, 16]
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(targets)), [f"{each.title}  ({each.row})" for each in targets])
    axes.invert_yaxis()
    axes.set_xlabel("multiple of the floor; the bar marks the aim")
    _plain(axes)
    return figure


def _plain(axes: matplotlib.axes.Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(
        path, transparent=True, bbox_inches="tight", metadata={"Date": None, "Creator": None}
    )
