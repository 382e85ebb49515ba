"""Metrics: every one has a name with its unit, a meaning, and a line on the page about deployment."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mqjobs.app.metrics import COUNTS, GAUGES, MEASURES, exposition
from mqjobs.app.snapshot import Phase, Snapshot
from mqjobs.model.tally import Count, Measure
from tests.docs.pages import page_at

ALL = [*COUNTS.values(), *MEASURES.values(), *GAUGES.values()]
SNAPSHOT = Snapshot(
    phase=Phase.CONSUMING,
    gauges={"running": 3, "outbox_age": 1.5},
    counts=[("attempts", "done", 7), ("attempts", "parked", 2), ("leases_lost", "", 1)],
    measures=[("attempt_seconds", "done", 7, 0.25)],
)


def lines_of(snapshots: dict[str, Snapshot]) -> set[str]:
    return {line for line in exposition(snapshots).splitlines() if not line.startswith("#")}


def test_what_can_be_counted_or_measured_is_served() -> None:
    assert set(COUNTS) == set(Count)
    assert set(MEASURES) == set(Measure)


@pytest.mark.parametrize("described", ALL, ids=lambda described: described.name)
def test_a_name_has_its_unit_and_a_meaning(described: object) -> None:
    name, means = described.name, described.means  # type: ignore[attr-defined]
    assert re.fullmatch(r"mqjobs_[a-z_]+", name)
    assert (described in COUNTS.values()) == name.endswith("_total")
    assert means.endswith(".")
    if "second" in means or "How long" in means or "How late" in means:
        assert name.endswith("_seconds")


def test_counts_measures_and_gauges_are_told_apart_by_kind_and_process() -> None:
    lines = lines_of({"1": SNAPSHOT, "2": SNAPSHOT})

    for process in ("1", "2"):
        assert {
            f'mqjobs_attempts_total{{outcome="done",process="{process}"}} 7.0',
            f'mqjobs_attempts_total{{outcome="parked",process="{process}"}} 2.0',
            f'mqjobs_leases_lost_total{{process="{process}"}} 1.0',
            f'mqjobs_attempt_seconds_count{{outcome="done",process="{process}"}} 7.0',
            f'mqjobs_attempt_seconds_sum{{outcome="done",process="{process}"}} 0.25',
            f'mqjobs_running{{process="{process}"}} 3.0',
            f'mqjobs_outbox_age_seconds{{process="{process}"}} 1.5',
            f'mqjobs_ready{{process="{process}"}} 1.0',
        } <= lines


def test_every_metric_is_there_before_there_is_something_to_say() -> None:
    served = {family.name for family in text_string_to_metric_families(exposition({}))}

    assert served == {described.name.removesuffix("_total") for described in ALL}


def test_the_page_about_deployment_has_a_table_of_all_and_no_others() -> None:
    rows = re.findall(
        r"^\| `(mqjobs_\w+)` \| (.*?) \| (.*?) \|$", page_at("docs/deployment.md").text, re.M
    )

    assert rows == [
        (each.name, f"`{each.label}`" if each.label else "–", each.means) for each in ALL
    ]
