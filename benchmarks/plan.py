"""What is measured, in the order in which a round runs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from benchmarks.place import DEFAULTS


class Extent(StrEnum):
    """How much is measured: `full` writes the page, `middle` has less of what takes very long, `quick` is a look."""

    FULL = "full"
    MIDDLE = "middle"
    QUICK = "quick"


@dataclass(frozen=True, slots=True)
class Sizes:
    """In how many pieces the work is done; `tiny` is the least that gives every figure."""

    full: int
    quick: int
    middle: int | None = None
    tiny: int = 20

    def of(self, extent: Extent) -> int:
        """The size for this extent."""
        match extent:
            case Extent.FULL:
                return self.full
            case Extent.MIDDLE:
                return self.middle or self.full
            case Extent.QUICK:
                return self.quick


@dataclass(frozen=True, slots=True)
class Measurement:
    """One kind of work by one program: `run` names its function, `needs` the peer that is to be installed."""

    name: str
    title: str
    run: str
    sizes: Sizes
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: str | None = None
    is_long: bool = False
    """It is measured once, whatever the number of rounds."""


MESSAGES = Sizes(full=20_000, quick=3_000)
CHILDREN = Sizes(full=10_000, quick=2_000)
JOBS = Sizes(full=20_000, quick=3_000)
TIMES = Sizes(full=1_000, quick=100)
ROOT = Sizes(full=1_000_000, middle=200_000, quick=5_000)

MEASUREMENTS = (
    Measurement("plain", "plain messages", "benchmarks.plain:run", MESSAGES),
    Measurement("aio-pika", "… aio-pika", "benchmarks.peers.aio_pika:run", MESSAGES),
    Measurement(
        "faststream",
        "… FastStream",
        "benchmarks.peers.faststream:run",
        MESSAGES,
        needs="faststream",
    ),
    Measurement(
        "taskiq", "… taskiq", "benchmarks.peers.taskiq:run", MESSAGES, needs="taskiq-aio-pika"
    ),
    Measurement(
        "dramatiq", "… dramatiq", "benchmarks.peers.dramatiq:run", MESSAGES, needs="dramatiq"
    ),
    Measurement("celery", "… celery", "benchmarks.peers.celery:run", MESSAGES, needs="celery"),
    Measurement(
        "plain-defaults",
        "plain messages, default settings",
        "benchmarks.plain:run",
        MESSAGES,
        {"settings": DEFAULTS},
    ),
    Measurement("children", "children of one root", "benchmarks.children:run", CHILDREN),
    Measurement(
        "children-defaults",
        "children of one root, default settings",
        "benchmarks.children:run",
        CHILDREN,
        {"settings": DEFAULTS},
    ),
    Measurement(
        "children-postgres",
        "children of one root, queue in PostgreSQL",
        "benchmarks.children:run_over_postgres",
        CHILDREN,
    ),
    Measurement(
        "pgqueuer",
        "jobs in PostgreSQL, pgqueuer",
        "benchmarks.peers.pgqueuer:run",
        JOBS,
        needs="pgqueuer",
    ),
    Measurement(
        "procrastinate",
        "… procrastinate",
        "benchmarks.peers.procrastinate:run",
        Sizes(full=2_000, quick=500),
        needs="procrastinate",
    ),
    Measurement("unique", "unique single jobs", "benchmarks.unique:run", CHILDREN),
    Measurement(
        "unique-born",
        "unique single jobs, born with their messages",
        "benchmarks.unique:run_born_with_message",
        CHILDREN,
    ),
    Measurement(
        "create",
        "children created with their messages",
        "benchmarks.children:create",
        Sizes(full=100_000, quick=10_000),
    ),
    Measurement(
        "relay", "outbox to confirmed", "benchmarks.relay:run", Sizes(full=20_000, quick=5_000)
    ),
    Measurement(
        "publish",
        "published and confirmed, aio-pika",
        "benchmarks.peers.aio_pika:publish",
        Sizes(full=20_000, quick=5_000),
    ),
    Measurement("latency", "send to processor", "benchmarks.latency:run", TIMES),
    Measurement(
        "latency-jobs",
        "send to processor, with a root job",
        "benchmarks.latency:run_with_job",
        TIMES,
    ),
    Measurement(
        "latency-aio-pika",
        "publish to callback, aio-pika",
        "benchmarks.latency:run_aio_pika",
        TIMES,
    ),
    Measurement(
        "one-process",
        "children that wait 5 ms, one consumer process",
        "benchmarks.processes:run",
        Sizes(full=3_000, quick=600),
    ),
    Measurement(
        "two-processes",
        "… two consumer processes",
        "benchmarks.processes:run",
        Sizes(full=6_000, quick=1_200),
        {"processes": 2},
    ),
    Measurement(
        "large-root",
        "a child's whole life, one large root",
        "benchmarks.flatness:run",
        ROOT,
        is_long=True,
    ),
    Measurement(
        "small-roots",
        "a child's whole life, roots of 1,000",
        "benchmarks.flatness:run",
        ROOT,
        {"root_size": 1_000},
        is_long=True,
    ),
    Measurement(
        "listings",
        "listings on many job rows",
        "benchmarks.listings:run",
        Sizes(full=10_000_000, middle=1_000_000, quick=100_000, tiny=1_000),
        is_long=True,
    ),
)

BY_NAME = {measurement.name: measurement for measurement in MEASUREMENTS}
