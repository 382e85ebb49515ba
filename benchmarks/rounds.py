"""Rounds: every measurement once in each, in a process of its own."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.plan import Measurement

ROOT = Path(__file__).parents[1]
DEADLINE_SECONDS = 900

Results = Mapping[str, Mapping[str, Sequence[float]]]
"""Values by the measurement's name and by unit, one from each round."""


def run_rounds(
    measurements: Sequence[Measurement],
    rounds: int,
    size_of: Callable[[Measurement], int],
    tell: Callable[[str], None],
) -> Results:
    """All rounds, every other one backwards, so that what drifts meets early and late alike."""
    results: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(1, rounds + 1):
        for measurement in measurements[:: 1 if number % 2 else -1]:
            figures = _in_own_process(measurement, size_of(measurement))
            for unit, value in figures.items():
                results[measurement.name][unit].append(value)
            tell(f"round {number}/{rounds}  {measurement.name}  {_told(figures)}")
    return results


def _in_own_process(measurement: Measurement, size: int) -> Mapping[str, float]:
    command = [sys.executable, "-m", "benchmarks", "measure", measurement.name, str(size)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _told(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{value:,.2f} {unit}" for unit, value in figures.items())
