import pytest

from benchmarks.plan import BY_NAME, COMPARISONS, MEASUREMENTS, ROOTS, Measurement
from benchmarks.rounds import run_rounds
from benchmarks.versions import PACKAGES, versions

TINY = ROOTS


@pytest.fixture(autouse=True)
def servers(monkeypatch: pytest.MonkeyPatch, postgres_url: str, amqp_url: str) -> None:
    monkeypatch.setenv("MQJOBS_DATABASE_URL", postgres_url)
    monkeypatch.setenv("MQJOBS_BROKER_URL", amqp_url)


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda each: each.name)
def test_a_measurement_comes_to_the_figures_that_are_compared(measurement: Measurement) -> None:
    results = run_rounds([measurement], 1, lambda _: TINY, tell=print)

    figures = results[measurement.name]
    assert all(value > 0 for values in figures.values() for value in values)
    compared = {each.unit for each in COMPARISONS if measurement.name in (each.over, each.under)}
    assert compared <= figures.keys()


def test_rounds_take_turns_and_every_other_one_runs_backwards() -> None:
    pair = [BY_NAME["plain-peer"], BY_NAME["publish-peer"]]
    told: list[str] = []

    results = run_rounds(pair, 2, lambda _: TINY, told.append)

    assert [line.split()[2] for line in told] == [
        "plain-peer",
        "publish-peer",
        "publish-peer",
        "plain-peer",
    ]
    assert [len(results[each.name]["per second"]) for each in pair] == [2, 2]


async def test_the_versions_of_all_that_takes_part_are_told(
    postgres_url: str, amqp_url: str
) -> None:
    told = await versions(postgres_url, amqp_url)

    assert all(f"{name} " in told for name in (*PACKAGES, "Python", "PostgreSQL", "RabbitMQ"))
