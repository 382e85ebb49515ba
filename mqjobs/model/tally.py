"""The tally: what one process has counted since it began, for those who watch it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Count(StrEnum):
    """What is counted."""

    ATTEMPTS = "attempts"
    PARKED = "parked"
    DUPLICATES = "duplicates"
    LEASES_LOST = "leases_lost"
    TAKEOVERS = "takeovers"
    REAPED = "reaped"
    REPAIRS = "repairs"
    RETURNED = "returned"
    PUBLISHED = "published"
    CONNECTIONS_LOST = "connections_lost"
    CHILDREN_LOST = "children_lost"


class Measure(StrEnum):
    """What is measured each time, with its unit."""

    FLUSH_SIZE = "flush_size"
    FLUSH_SECONDS = "flush_seconds"
    ATTEMPT_SECONDS = "attempt_seconds"


@dataclass(frozen=True, slots=True)
class Observed:
    """How often something was measured, and the sum of what was found."""

    count: int = 0
    total: float = 0.0


class Tally:
    """Counts only rise; `kind` tells apart what is counted together, such as repairs by what was repaired."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Count, str]] = Counter()
        self._measures: defaultdict[tuple[Measure, str], Observed] = defaultdict(Observed)

    def add(self, what: Count, by: int = 1, *, kind: str = "") -> None:
        """So many more of these."""
        self._counts[what, kind] += by

    def observe(self, what: Measure, value: float, *, kind: str = "") -> None:
        """It was measured once more."""
        before = self._measures[what, kind]
        self._measures[what, kind] = Observed(before.count + 1, before.total + value)

    def counts(self) -> Mapping[tuple[Count, str], int]:
        """What was counted so far, by count and kind."""
        return dict(self._counts)

    def measures(self) -> Mapping[tuple[Measure, str], Observed]:
        """What was measured so far, by measure and kind."""
        return dict(self._measures)
