"""Harm to RabbitMQ: nothing is lost or doubled, and consumers work again by themselves."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from mqjobs import JobStatus
from tests.faults import rabbitmq
from tests.faults.arena import Arena, arena
from tests.faults.hand import hand
from tests.faults.report import told
from tests.faults.runner import reckon
from tests.faults.trial import trial, written
from tests.support.servers import Broker, Postgres
from tests.support.waiting import eventually


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


async def test_what_a_broker_has_forgotten_is_sent_again_where_a_job_waits_for_it(
    tmp_path: Path, own_postgres: Postgres, own_broker: Broker
) -> None:
    async with arena(
        tmp_path,
        postgres=own_postgres,
        broker=own_broker,
        MQJOBS_CONCURRENCY="1",
        MQJOBS_PREFETCH="1",
        MQJOBS_RESEND_AFTER="1",
    ) as place:
        await place.consuming(2)
        async with hand(place) as one:
            roots = [await one.single(seconds=0.2) for _ in range(30)]
            await eventually(lambda: has_waiting(place, 20), what="messages in the broker")
            async with rabbitmq.forgetful(place, Random(1)):
                pass
            assert [await one.ended(root) for root in roots] == [JobStatus.SUCCESS] * 30
        findings = await reckon(place, [])
    assert findings.clean, told(findings)


async def has_waiting(place: Arena, count: int) -> bool:
    """Whether so many messages stand in the broker."""
    return await place.waiting() >= count


@pytest.mark.parametrize(
    ("hand_over_after", "told_of"),
    [("300", "parked"), ("0.3", "handed_over")],
    ids=["cut short", "handed over"],
)
async def test_a_broker_that_waits_for_a_third_of_a_job_runs_it_once(
    tmp_path: Path,
    own_postgres: Postgres,
    own_broker: Broker,
    hand_over_after: str,
    told_of: str,
) -> None:
    async with arena(
        tmp_path,
        postgres=own_postgres,
        broker=own_broker,
        MQJOBS_HAND_OVER_AFTER=hand_over_after,
    ) as place:
        await place.consuming(2)
        async with hand(place) as one, rabbitmq.impatient(place, Random(1)):
            roots = [await one.single(seconds=3 * rabbitmq.ACK_TIMEOUT) for _ in range(4)]
            assert [await one.ended(root) for root in roots] == [JobStatus.SUCCESS] * 4
            assert [len(await one.starts(root)) for root in roots] == [1] * 4
        findings = await reckon(place, [])
    assert findings.clean, told(findings)
    told_of_both = {each for each in ("parked", "handed_over") if f'"{each}"' in written(tmp_path)}
    assert told_of_both == {told_of}
