"""What is measured, in the order in which a round runs it, and which ratios are drawn from it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from benchmarks import children, latency, plain, relaying
from benchmarks.place import DEFAULTS, Place

Measure = Callable[[Place, int], Awaitable[dict[str, float]]]
"""Does the work in so many pieces; what it came to, by unit."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One kind of work by one program, and in how many pieces it is done."""

    name: str
    title: str
    run: Measure
    size: int
    quick_size: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times the figure of one measurement is that of another."""

    title: str
    over: str
    under: str
    unit: str = "per second"


ROOTS = 20

MEASUREMENTS = (
    Measurement("plain", "plain messages", plain.mqjobs_plain, 10_000, 2_000),
    Measurement("plain-peer", "plain messages, aio-pika", plain.peer_plain, 10_000, 2_000),
    Measurement(
        "plain-defaults",
        "plain messages, default settings",
        partial(plain.mqjobs_plain, settings=DEFAULTS),
        10_000,
        2_000,
    ),
    Measurement("children", "children of one root", children.run, 5_000, 1_000),
    Measurement(
        "children-defaults",
        "children of one root, default settings",
        partial(children.run, settings=DEFAULTS),
        5_000,
        1_000,
    ),
    Measurement(
        "children-postgres",
        "children of one root, queue in PostgreSQL",
        children.run_over_postgres,
        5_000,
        1_000,
    ),
    Measurement("create", "children created with their messages", children.create, 20_000, 5_000),
    Measurement("relay", "outbox to confirmed", relaying.mqjobs_relay, 10_000, 5_000),
    Measurement(
        "publish-peer", "published and confirmed, aio-pika", relaying.peer_publish, 10_000, 5_000
    ),
    Measurement("one-root", "a child's whole life, one root", children.whole_life, 20_000, 4_000),
    Measurement(
        "many-roots",
        f"a child's whole life, {ROOTS} roots",
        partial(children.whole_life, roots=ROOTS),
        20_000,
        4_000,
    ),
    Measurement("latency", "send to processor", latency.mqjobs_latency, 300, 100),
    Measurement("latency-peer", "publish to callback, aio-pika", latency.peer_latency, 300, 100),
    Measurement(
        "latency-jobs",
        "send to processor, with a root job",
        latency.mqjobs_job_latency,
        300,
        100,
    ),
)

COMPARISONS = (
    Comparison("plain messages: mqjobs to aio-pika", "plain", "plain-peer"),
    Comparison(
        "plain messages: mqjobs with default settings to aio-pika", "plain-defaults", "plain-peer"
    ),
    Comparison("children of one root to plain messages", "children", "plain"),
    Comparison("the same with default settings", "children-defaults", "plain-defaults"),
    Comparison(
        "children of one root, queue in PostgreSQL, to plain messages over RabbitMQ",
        "children-postgres",
        "plain",
    ),
    Comparison("outbox to confirmed: mqjobs to aio-pika", "relay", "publish-peer"),
    Comparison(f"cost of a child: one root to {ROOTS} roots", "one-root", "many-roots", "ms each"),
    Comparison("latency, p50: mqjobs to aio-pika", "latency", "latency-peer", "p50, ms"),
    Comparison("latency, p50: with a root job to plain", "latency-jobs", "latency", "p50, ms"),
)

BY_NAME = {measurement.name: measurement for measurement in MEASUREMENTS}
