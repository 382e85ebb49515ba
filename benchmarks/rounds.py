"""Rounds: every measurement once in each, in a process of its own."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.plan import Measurement

ROOT = Path(__file__).parents[1]
DEADLINE_SECONDS = 600
LONG_DEADLINE_SECONDS = 5400

Tell = Callable[[str], None]


@dataclass(slots=True)
class Rounds:
    """What came of all rounds; whatever failed in one of them has no values at all."""

    values: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    failed: set[str] = field(default_factory=set)

    def add(self, name: str, figures: Mapping[str, float]) -> None:
        """The figures of one more round."""
        for unit, value in figures.items():
            self.values[name][unit].append(value)

    def fail(self, name: str) -> None:
        """It is out of this and all other rounds."""
        self.failed.add(name)
        self.values.pop(name, None)


class MeasurementFailed(Exception):
    """A measurement's process failed or took too long; the text has its last words."""


def run_rounds(
    measurements: Sequence[Measurement],
    rounds: int,
    size_of: Callable[[Measurement], int],
    tell: Tell,
    results: Rounds,
    loop: str = "uvloop",
) -> None:
    """All rounds, every other one backwards, so that what drifts meets early and late alike."""
    for number in range(1, rounds + 1):
        for one in measurements[:: 1 if number % 2 else -1]:
            if one.name in results.failed or (one.is_long and number > 1):
                continue
            try:
                figures = _in_own_process(one, size_of(one), loop)
            except MeasurementFailed as failure:
                results.fail(one.name)
                tell(f"round {number}/{rounds}  {one.name}  failed: {failure}")
            else:
                results.add(one.name, figures)
                tell(f"round {number}/{rounds}  {one.name}  {_told(figures)}")


def _in_own_process(measurement: Measurement, size: int, loop: str) -> Mapping[str, float]:
    command = [sys.executable, "-m", "benchmarks.measure", measurement.name, str(size)]
    deadline = LONG_DEADLINE_SECONDS if measurement.is_long else DEADLINE_SECONDS
    try:
        done = subprocess.run(
            [*command, "--loop", loop],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MeasurementFailed(f"not done within {deadline} s") from None
    if done.returncode != 0:
        raise MeasurementFailed("\n".join(done.stderr.splitlines()[-15:]))
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _told(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{value:,.2f} {unit}" for unit, value in figures.items())
