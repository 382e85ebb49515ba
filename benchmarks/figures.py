"""What measurements come to: medians with their spread, and ratios taken round by round."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several values, the least and the greatest."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value."""
    return Spread(median(values), min(values), max(values))


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """How many times the one is the other: each round by itself, for the two ran one after the other in it."""
    return spread([above / below for above, below in zip(over, under, strict=True)])


def percentile(values: Sequence[float], percent: int) -> float:
    """What so many percent of the values do not exceed, 1 to 99; of at least two values."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]
