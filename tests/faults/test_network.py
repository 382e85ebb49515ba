"""Harm to the network: nothing is lost or doubled, and consumers work again by themselves."""

import asyncio
from pathlib import Path

import pytest

from tests.faults import network
from tests.faults.network import Between
from tests.faults.trial import trial
from tests.support.servers import Broker, Postgres


@pytest.mark.timeout(180)
@pytest.mark.parametrize("between", [network.to_database, network.to_broker])
async def test_nothing_is_lost_and_nothing_runs_twice_on_a_bad_network(
    tmp_path: Path, own_postgres: Postgres, own_broker: Broker, between: Between
) -> None:
    async with trial(tmp_path, own_postgres, own_broker) as on_trial:
        for name, harm in {
            "late": network.late(between),
            "slow": network.slow(between),
            "reset": network.reset(between),
            "silent": network.black_hole(between),
            "mute": network.half_open(between),
        }.items():
            async with on_trial.under(harm, name):
                await asyncio.sleep(2)
