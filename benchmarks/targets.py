"""What mqjobs is to come to: rows of measurements or of ratios between two, with the least and the aim."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Spread, ratio, spread
from benchmarks.tally import PROCESSOR

Results = Mapping[str, Mapping[str, Sequence[float]]]
"""Values by the measurement's name and by unit, one from each round."""

PER_SECOND = "per second"
MOST_TIMES = 20


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of one measurement, or how many times it is that of another; with what it is to be, if that is said."""

    row: int
    title: str
    over: str
    under: str | None = None
    unit: str = PER_SECOND
    floor: float | None = None
    aim: float | None = None
    is_less_better: bool = False

    @property
    def measurements(self) -> tuple[str, ...]:
        """What has to be measured for it."""
        return (self.over,) if self.under is None else (self.over, self.under)

    def value(self, results: Results) -> Spread | None:
        """What it came to; None where not all was measured that it needs."""
        if any(self.unit not in results.get(name, {}) for name in self.measurements):
            return None
        over = results[self.over][self.unit]
        return spread(over) if self.under is None else ratio(over, results[self.under][self.unit])

    def verdict(self, value: float) -> str:
        """What the value reaches: the aim, the floor, or neither; nothing where neither is set."""
        if self.floor is None or self.aim is None:
            return ""
        return (
            "aim"
            if self._reaches(self.aim, value)
            else "floor"
            if self._reaches(self.floor, value)
            else "missed"
        )

    def multiple(self, value: float) -> float:
        """How many times the floor a value is; of one that is to be small, how many times it fits into the floor."""
        assert self.floor is not None, "without a floor there is no multiple of it"
        if self.is_less_better:
            return self.floor / max(value, self.floor / MOST_TIMES)
        return value / self.floor

    def _reaches(self, bound: float, value: float) -> bool:
        return value <= bound if self.is_less_better else value >= bound


def of_rows(rows: Iterable[int]) -> list[Target]:
    """The targets of these rows, in their order."""
    wanted = set(rows)
    return [target for target in TARGETS if target.row in wanted]


P50, P99 = "p50, ms", "p99, ms"

TARGETS = (
    Target(
        1,
        "plain messages: to aio-pika, acknowledging each",
        "plain",
        "aio-pika",
        PER_SECOND,
        1.3,
        2,
    ),
    Target(1, "… by processor time each", "plain", "aio-pika", PROCESSOR, is_less_better=True),
    Target(2, "plain messages: to FastStream", "plain", "faststream", PER_SECOND, 2.5, 4),
    Target(2, "… by processor time each", "plain", "faststream", PROCESSOR, is_less_better=True),
    Target(2, "plain messages: to taskiq", "plain", "taskiq"),
    Target(2, "plain messages: to dramatiq", "plain", "dramatiq"),
    Target(2, "plain messages: to celery", "plain", "celery"),
    Target(3, "children of one root: to plain messages", "children", "plain", PER_SECOND, 0.5, 0.8),
    Target(3, "… by processor time each", "children", "plain", PROCESSOR, is_less_better=True),
    Target(
        4, "children of one root: to procrastinate", "children", "procrastinate", PER_SECOND, 8, 15
    ),
    Target(4, "children of one root: to pgqueuer", "children", "pgqueuer", PER_SECOND, 0.4, 0.8),
    Target(
        5,
        "children, queue in PostgreSQL: to pgqueuer",
        "children-postgres",
        "pgqueuer",
        PER_SECOND,
        0.7,
        1.2,
    ),
    Target(6, "children created with their messages", "create", None, PER_SECOND, 20_000, 50_000),
    Target(
        7, "outbox to confirmed: to aio-pika, 500 in flight", "relay", "publish", PER_SECOND, 1, 1.5
    ),
    Target(
        8,
        "cost of a child: one large root to roots of 1,000",
        "large-root",
        "small-roots",
        "ms each",
        1.2,
        1.05,
        True,
    ),
    Target(
        8,
        "cost of a child's creation: the same",
        "large-root",
        "small-roots",
        "ms to create",
        1.2,
        1.05,
        True,
    ),
    Target(
        8,
        "cost of a child's run and end: the same",
        "large-root",
        "small-roots",
        "ms to run",
        1.2,
        1.05,
        True,
    ),
    Target(
        8, "memory beyond that of a root of 1,000, MB", "large-root", None, "MB grown", 50, 50, True
    ),
    Target(9, "send to processor, p50, ms", "latency", None, P50, 5, 3, True),
    Target(9, "send to processor, p99, ms", "latency", None, P99, 25, 10, True),
    Target(
        9, "send to processor, with a root job, p50, ms", "latency-jobs", None, P50, 10, 3, True
    ),
    Target(
        9, "send to processor, with a root job, p99, ms", "latency-jobs", None, P99, 40, 10, True
    ),
    Target(9, "send to processor, p50: to aio-pika", "latency", "latency-aio-pika", P50),
    Target(10, "unique single jobs: to plain messages", "unique", "plain", PER_SECOND, 0.2, 0.4),
    Target(
        10,
        "unique jobs born with their messages: to plain messages",
        "unique-born",
        "plain",
        PER_SECOND,
        0.2,
        0.4,
    ),
    Target(
        11,
        "children that wait: two processes to one",
        "two-processes",
        "one-process",
        PER_SECOND,
        1.8,
        2,
    ),
    Target(
        12, "listing of roots, first page, ms", "listings", None, "first page, ms", 100, 20, True
    ),
    Target(
        12,
        "slowest of all filters and pages, ms",
        "listings",
        None,
        "slowest filter, ms",
        100,
        20,
        True,
    ),
)

ROWS = sorted({target.row for target in TARGETS})
