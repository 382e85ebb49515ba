from dataclasses import replace

import pytest

from benchmarks.plan import BY_NAME, MEASUREMENTS, Measurement
from benchmarks.rounds import Rounds, run_rounds
from benchmarks.targets import TARGETS
from benchmarks.versions import PACKAGES, versions

WITHOUT_PEERS = [measurement for measurement in MEASUREMENTS if measurement.needs is None]


@pytest.fixture(autouse=True)
def servers(monkeypatch: pytest.MonkeyPatch, postgres_url: str, amqp_url: str) -> None:
    monkeypatch.setenv("MQJOBS_DATABASE_URL", postgres_url)
    monkeypatch.setenv("MQJOBS_BROKER_URL", amqp_url)


@pytest.mark.parametrize("measurement", WITHOUT_PEERS, ids=lambda each: each.name)
def test_a_measurement_comes_to_the_figures_that_its_targets_are_about(
    measurement: Measurement,
) -> None:
    results = Rounds()

    run_rounds([measurement], 1, lambda one: one.sizes.tiny, print, results)

    assert not results.failed
    figures = results.values[measurement.name]
    assert all(value >= 0 for values in figures.values() for value in values)
    wanted = {target.unit for target in TARGETS if measurement.name in target.measurements}
    assert wanted <= figures.keys()


def test_rounds_take_turns_and_every_other_one_runs_backwards() -> None:
    pair = [BY_NAME["aio-pika"], BY_NAME["publish"]]
    told: list[str] = []
    results = Rounds()

    run_rounds(pair, 2, lambda one: one.sizes.tiny, told.append, results)

    names = [line.split()[2] for line in told]
    assert names == ["aio-pika", "publish", "publish", "aio-pika"]
    assert [len(results.values[each.name]["per second"]) for each in pair] == [2, 2]


def test_what_takes_very_long_is_measured_in_the_first_round_alone() -> None:
    results = Rounds()

    run_rounds(
        [replace(BY_NAME["publish"], is_long=True)], 3, lambda one: one.sizes.tiny, print, results
    )

    assert len(results.values["publish"]["per second"]) == 1


def test_what_fails_is_told_and_left_out_and_the_rest_goes_on() -> None:
    broken = replace(BY_NAME["publish"], name="no such measurement")
    told: list[str] = []
    results = Rounds()

    run_rounds([broken, BY_NAME["aio-pika"]], 2, lambda one: one.sizes.tiny, told.append, results)

    assert results.failed == {"no such measurement"}
    assert results.values.keys() == {"aio-pika"}
    assert "failed" in told[0]
    assert len(told) == 3


async def test_the_versions_of_all_that_takes_part_are_told(
    postgres_url: str, amqp_url: str
) -> None:
    told = await versions(postgres_url, amqp_url, ["no-such-peer"])

    assert all(f"{name} " in told for name in (*PACKAGES, "Python", "PostgreSQL", "RabbitMQ"))
    assert "no-such-peer (not installed)" in told
