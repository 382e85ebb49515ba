"""Harm to RabbitMQ: nothing is lost or doubled, and consumers work again by themselves."""

import asyncio
from pathlib import Path

import pytest

from tests.faults import rabbitmq
from tests.faults.trial import trial
from tests.support.servers import Broker, Postgres


@pytest.mark.timeout(180)
async def test_nothing_is_lost_and_nothing_runs_twice_while_the_broker_comes_and_goes(
    tmp_path: Path, own_postgres: Postgres, own_broker: Broker
) -> None:
    async with trial(tmp_path, own_postgres, own_broker) as on_trial:
        for name, harm in {
            "close": rabbitmq.connections_closed,
            "app restart": rabbitmq.app_stopped,
            "memory": rabbitmq.short_of_memory,
            "restart": rabbitmq.stopped,
            "kill": rabbitmq.killed,
        }.items():
            async with on_trial.under(harm, name):
                await asyncio.sleep(1)


@pytest.mark.timeout(180)
async def test_what_a_broker_has_forgotten_is_sent_again_where_a_job_waits_for_it(
    tmp_path: Path, own_postgres: Postgres, own_broker: Broker
) -> None:
    async with trial(tmp_path, own_postgres, own_broker) as on_trial:
        for name, harm in {
            "queues deleted": rabbitmq.queues_deleted,
            "forgetful": rabbitmq.forgetful,
        }.items():
            async with on_trial.under(harm, name):
                await asyncio.sleep(1)
