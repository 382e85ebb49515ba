"""Where the time of one consumer goes, by group of modules and by function: cProfile on what a measurement counts.

The processor's time is counted, not the clock's: what else the computer does is not in it. Profiling makes Python calls
dearer than they are, and compiled code comes free of that: shares are hints, not figures.
"""

import cProfile
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.measure import measured
from benchmarks.plan import Measurement
from benchmarks.report import table
from benchmarks.tally import PROCESSOR

Function: TypeAlias = tuple[str, int, str]
"""File, line and name; of what is built in the file is `~`."""

Stats: TypeAlias = Mapping[Function, tuple[int, int, float, float, Mapping[Function, Any]]]
"""Calls (without and with recursion), own and whole seconds, and the same by caller."""

ROOT = Path(__file__).parents[1]
BUILT_IN = "~"
WAITING, OTHER = "waiting", "other"

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
    """What such a run's time went to: by group, by module and by function; a coroutine is called at each resumption."""
    unprofiled = measured(measurement, size, "uvloop")
    profiler = cProfile.Profile(time.process_time)
    measured(measurement, size, "asyncio", profiler)
    stats: Stats = vars(pstats.Stats(profiler))["stats"]
    title = (
        f"{measurement.title}, {size:,} pieces in one consumer: {unprofiled[PROCESSOR]:.0f} µs of processor time each "
        "on uvloop; profiled, on asyncio's own loop:"
    )
    groups = _ranked("group", seconds_by(group_of, stats), size)
    modules = _ranked(
        "module, with what is built in and called there", seconds_by(module_of, stats), size, top
    )
    return f"\n{title}\n\n{groups}\n\n{modules}\n\n{_functions(stats, size, top)}"


def _ranked(head: str, seconds: Mapping[str, float], size: int, top: int | None = None) -> str:
    whole = sum(seconds.values())
    dearest = sorted(seconds.items(), key=lambda item: item[1], reverse=True)[:top]
    return table(
        (head, "µs each", "share"), [(name, *_shares(own, whole, size)) for name, own in dearest]
    )


def seconds_by(part_of: Callable[[Function], str | None], stats: Stats) -> dict[str, float]:
    """Own time by part; what is built in counts for those who call it, unless its name tells where it belongs."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for function, (_, _, own, _, callers) in stats.items():
        part = part_of(function)
        if part is not None:
            seconds[part] += own
        elif not callers:
            seconds[OTHER] += own
        for caller, (_, _, own_there, _) in callers.items() if part is None else ():
            seconds[part_of(caller) or OTHER] += own_there
    return seconds


def module_of(function: Function) -> str | None:
    """The file of a function, as one would say it; None for what is built in."""
    file, _, name = function
    if file == BUILT_IN:
        return name if group_of(function) else None
    path = Path(file)
    is_ours = path.is_relative_to(ROOT) and "site-packages" not in path.parts
    return str(path.relative_to(ROOT) if is_ours else Path(*path.parts[-3:]))


def group_of(function: Function) -> str | None:
    """The group of a function; None for what is built in and could belong to anybody."""
    file, _, name = function
    if file == BUILT_IN:
        if any(wait in name for wait in WAITS):
            return WAITING
        return next((GROUPS[part] for part in ("pydantic_core", "asyncpg") if part in name), None)
    return next((GROUPS[part] for part in reversed(Path(file).parts) if part in GROUPS), OTHER)


def _functions(stats: Stats, size: int, top: int) -> str:
    whole = sum(own for _, _, own, _, _ in stats.values())
    dearest = sorted(stats.items(), key=lambda item: item[1][2], reverse=True)[:top]
    rows = [
        (_named(function), f"{calls / size:.1f}", *_shares(own, whole, size))
        for function, (_, calls, own, _, _) in dearest
    ]
    return table(("function, own time", "calls each", "µs each", "share"), rows)


def _named(function: Function) -> str:
    _, line, name = function
    module = module_of(function)
    return name if module in (None, name) else f"{module}:{line} {name}"


def _shares(own: float, whole: float, size: int) -> tuple[str, str]:
    return f"{own * 1_000_000 / size:.1f}", f"{own / whole:.1%}"
