"""Metrics: what is counted, measured and read off, in Prometheus' words. Needs the extra `metrics`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mqjobs.app.snapshot import Snapshot
from mqjobs.model.tally import Count, Measure

KIND = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Described:
    """A metric's name, what it means, and the label that tells its kinds apart, if it has any."""

    name: str
    means: str
    label: str | None = None

    @property
    def labels(self) -> list[str]:
        """The names of its labels."""
        return ["process", self.label] if self.label else ["process"]

    def values(self, process: str, kind: str) -> list[str]:
        """What its labels say."""
        return [process, kind] if self.label else [process]


COUNTS: Mapping[Count, Described] = {
    Count.ATTEMPTS: Described(
        "mqjobs_attempts_total", "Attempts that have ended, by what they came to.", "outcome"
    ),
    Count.PARKED: Described("mqjobs_parked_total", "Messages parked, to come again later.", "kind"),
    Count.DUPLICATES: Described(
        "mqjobs_duplicates_total", "Deliveries whose job ran elsewhere or had ended.", "kind"
    ),
    Count.LEASES_LOST: Described(
        "mqjobs_leases_lost_total",
        "Runs that could not write, because the job was no longer theirs.",
    ),
    Count.TAKEOVERS: Described(
        "mqjobs_takeovers_total", "Jobs claimed from a consumer that is dead.", "kind"
    ),
    Count.REAPED: Described(
        "mqjobs_reaped_total", "What the dead left: consumers forgotten, jobs put back.", "kind"
    ),
    Count.REPAIRS: Described(
        "mqjobs_repairs_total", "Repairs by the reconciler; a healthy system makes none.", "kind"
    ),
    Count.RETURNED: Described(
        "mqjobs_returned_total", "Messages that the relay published and no queue took."
    ),
    Count.PUBLISHED: Described(
        "mqjobs_published_total", "Messages that the relay published and the broker confirmed."
    ),
    Count.CONNECTIONS_LOST: Described(
        "mqjobs_connections_lost_total", "Connections to the broker that were lost."
    ),
    Count.CHILDREN_LOST: Described(
        "mqjobs_children_lost_total",
        "Child processes that failed or were killed, by number.",
        "kind",
    ),
}
MEASURES: Mapping[Measure, Described] = {
    Measure.ATTEMPT_SECONDS: Described(
        "mqjobs_attempt_seconds", "How long attempts took, by what they came to.", "outcome"
    ),
    Measure.FLUSH_SIZE: Described(
        "mqjobs_flush_size", "Calls written together in one transaction.", "kind"
    ),
    Measure.FLUSH_SECONDS: Described(
        "mqjobs_flush_seconds", "How long a transaction of calls took.", "kind"
    ),
}
GAUGES: Mapping[str, Described] = {
    "running": Described("mqjobs_running", "Attempts that run now."),
    "concurrency": Described("mqjobs_concurrency", "Attempts that may run at once."),
    "loop_lag": Described(
        "mqjobs_loop_lag_seconds", "How late the event loop was, at its worst of the last looks."
    ),
    "flush_wait": Described(
        "mqjobs_flush_wait_seconds", "How long the oldest call waits to be written."
    ),
    "outbox_age": Described(
        "mqjobs_outbox_age_seconds", "How long the oldest due message has waited to go out."
    ),
    "memory": Described("mqjobs_memory_bytes", "Resident memory of the process."),
    "ready": Described("mqjobs_ready", "1 where the process takes messages and finds all right."),
}


def exposition(snapshots: Mapping[str, Snapshot]) -> str:
    """All metrics of these processes, as text. Prometheus sums what the label `process` tells apart."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshots))
    return generate_latest(registry).decode()


class _Collector(Collector):
    """Every metric, whether there is something to say yet or not."""

    def __init__(self, snapshots: Mapping[str, Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        for count, described in COUNTS.items():
            yield self._counter(count, described)
        for measure, described in MEASURES.items():
            yield self._summary(measure, described)
        for name, described in GAUGES.items():
            yield self._gauge(name, described)

    def _counter(self, count: Count, described: Described) -> Metric:
        family = CounterMetricFamily(described.name, described.means, labels=described.labels)
        for process, snapshot in self._snapshots.items():
            for name, kind, value in snapshot.counts:
                if name == count:
                    family.add_metric(described.values(process, kind), value)
        return family

    def _summary(self, measure: Measure, described: Described) -> Metric:
        family = SummaryMetricFamily(described.name, described.means, labels=described.labels)
        for process, snapshot in self._snapshots.items():
            for name, kind, times, total in snapshot.measures:
                if name == measure:
                    family.add_metric(described.values(process, kind), times, total)
        return family

    def _gauge(self, name: str, described: Described) -> Metric:
        family = GaugeMetricFamily(described.name, described.means, labels=described.labels)
        for process, snapshot in self._snapshots.items():
            gauges = {**snapshot.gauges, "ready": float(snapshot.is_ready)}
            if name in gauges:
                family.add_metric(described.values(process, ""), gauges[name])
        return family
