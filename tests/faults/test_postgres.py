"""Harm to PostgreSQL: nothing is lost or doubled, and consumers work again by themselves."""

import asyncio
from pathlib import Path

import pytest

from tests.faults import postgres
from tests.faults.disks import full
from tests.faults.trial import trial
from tests.support.servers import Broker, Postgres


@pytest.mark.timeout(180)
async def test_nothing_is_lost_and_nothing_runs_twice_while_the_database_comes_and_goes(
    tmp_path: Path, own_postgres: Postgres, own_broker: Broker
) -> None:
    async with trial(tmp_path, own_postgres, own_broker) as on_trial:
        for name, harm in {
            "restart": postgres.stopped,
            "kill": postgres.killed,
            "failover": postgres.failed_over,
            "read only": postgres.read_only,
            "a full disk": full,
        }.items():
            async with on_trial.under(harm, name):
                await asyncio.sleep(1)
        for number in range(3):
            async with on_trial.under(postgres.backends_terminated, f"terminations {number}"):
                pass
