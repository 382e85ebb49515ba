"""Where the time of one consumer goes, by group of modules and by function: cProfile on what a measurement counts.

Profiling makes Python calls dearer than they are, and compiled code comes free of that: shares are hints, not figures.
"""

import cProfile
import pstats
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.measure import measured
from benchmarks.plan import Measurement
from benchmarks.report import table

Function: TypeAlias = tuple[str, int, str]
"""File, line and name; of what is built in the file is `~`."""

Stats: TypeAlias = Mapping[Function, tuple[int, int, float, float, Mapping[Function, Any]]]
"""Calls (without and with recursion), own and whole seconds, and the same by caller."""

ROOT = Path(__file__).parents[1]
BUILT_IN = "~"
WAITING = "waiting"

GROUPS = {
    "mqjobs": "mqjobs",
    "benchmarks": "benchmarks",
    "aio_pika": "RabbitMQ driver",
    "aiormq": "RabbitMQ driver",
    "pamqp": "RabbitMQ driver",
    "asyncpg": "PostgreSQL driver",
    "pydantic": "pydantic",
    "pydantic_core": "pydantic",
    "asyncio": "asyncio",
    "selectors.py": "asyncio",
    "structlog": "logging",
    "logging": "logging",
}
WAITS = ("of 'select.epoll' objects", "select.select", "select.poll", "select.kqueue")


def profiled(measurement: Measurement, size: int, top: int) -> str:
    """What such a run's time went to, as two tables."""
    profiler = cProfile.Profile()
    measured(measurement, size, "asyncio", profiler)
    stats: Stats = vars(pstats.Stats(profiler))["stats"]
    title = f"{measurement.title}: {size:,} pieces, one consumer, asyncio's own loop"
    return f"\n{title}\n\n{_groups(stats, size)}\n\n{_functions(stats, size, top)}"


def _groups(stats: Stats, size: int) -> str:
    seconds = seconds_by_group(stats)
    whole = sum(seconds.values())
    dearest = sorted(seconds.items(), key=lambda item: item[1], reverse=True)
    rows = [(group, *_shares(own, whole, size)) for group, own in dearest]
    return table(("group", "µs each", "share"), rows)


def seconds_by_group(stats: Stats) -> dict[str, float]:
    """Own time by group; what is built in counts for those who call it, unless its name tells where it belongs."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for function, (_, _, own, _, callers) in stats.items():
        group = group_of(function)
        if group is not None:
            seconds[group] += own
        elif not callers:
            seconds["other"] += own
        for caller, (_, _, own_there, _) in callers.items() if group is None else ():
            seconds[group_of(caller) or "other"] += own_there
    return seconds


def group_of(function: Function) -> str | None:
    """The group of a function; None for what is built in and could belong to anybody."""
    file, _, name = function
    if file == BUILT_IN:
        if any(wait in name for wait in WAITS):
            return WAITING
        return next((GROUPS[part] for part in ("pydantic_core", "asyncpg") if part in name), None)
    return next((GROUPS[part] for part in reversed(Path(file).parts) if part in GROUPS), "other")


def _functions(stats: Stats, size: int, top: int) -> str:
    whole = sum(own for _, _, own, _, _ in stats.values())
    dearest = sorted(stats.items(), key=lambda item: item[1][2], reverse=True)[:top]
    rows = [
        (_named(function), f"{calls / size:.1f}", *_shares(own, whole, size))
        for function, (_, calls, own, _, _) in dearest
    ]
    return table(("function, own time", "calls each", "µs each", "share"), rows)


def _named(function: Function) -> str:
    file, line, name = function
    if file == BUILT_IN:
        return name
    path = Path(file)
    inside = path.relative_to(ROOT) if path.is_relative_to(ROOT) else Path(*path.parts[-3:])
    return (
        f"{inside if 'site-packages' not in path.parts else Path(*path.parts[-3:])}:{line} {name}"
    )


def _shares(own: float, whole: float, size: int) -> tuple[str, str]:
    return f"{own * 1_000_000 / size:.1f}", f"{own / whole:.1%}"
