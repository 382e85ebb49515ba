"""Harm to PostgreSQL: nothing is lost or doubled, and consumers work again by themselves."""

import asyncio
from pathlib import Path

import pytest

from mqjobs import JobStatus
from tests.faults import disks, postgres
from tests.faults.arena import Arena, arena
from tests.faults.hand import hand
from tests.faults.report import told
from tests.faults.runner import reckon
from tests.faults.trial import BACK_WITHIN, SLOW_MACHINE, trial
from tests.support.servers import Broker, Postgres
from tests.support.waiting import eventually


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
            # Who is not root cannot make a small disk, and has this part of the test left out.
            **({"a full disk": disks.full} if disks.can_be_had() else {}),
        }.items():
            async with on_trial.under(harm, name):
                await asyncio.sleep(1)
        for number in range(3):
            async with on_trial.under(postgres.backends_terminated, f"terminations {number}"):
                pass


@pytest.mark.timeout(180)
async def test_nothing_is_lost_and_nothing_runs_twice_while_others_are_in_the_way(
    tmp_path: Path, own_postgres: Postgres, own_broker: Broker
) -> None:
    async with trial(tmp_path, own_postgres, own_broker) as on_trial:
        async with on_trial.under(postgres.snapshot_held, "a snapshot that is held"):
            await on_trial.all_work()
        async with on_trial.under(postgres.deadlocks_provoked, "deadlocks"):
            await eventually(
                lambda: has_had_deadlocks(on_trial.arena), within=SLOW_MACHINE, what="a deadlock"
            )
        async with on_trial.under(postgres.serializable, "serializable transactions"):
            await on_trial.all_work()


async def has_had_deadlocks(place: Arena) -> bool:
    """Whether the database had to end one."""
    async with place.connected() as connection:
        found = "SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database()"
        return bool(await connection.fetchval(found))


async def test_a_root_that_somebody_holds_locked_waits_alone(
    tmp_path: Path, own_postgres: Postgres, own_broker: Broker
) -> None:
    async with arena(tmp_path, postgres=own_postgres, broker=own_broker) as place:
        await place.consuming(1)
        async with hand(place) as one:
            held = await one.single(seconds=1)
            await one.starts(held)
            async with place.connected() as connection, connection.transaction():
                await connection.execute("SELECT FROM mqjobs.job WHERE id = $1 FOR UPDATE", held)
                others = [await one.single(seconds=0.1) for _ in range(20)]
                assert [await one.ended(each, BACK_WITHIN) for each in others] == [
                    JobStatus.SUCCESS
                ] * 20
                assert (await one.mq.jobs.get(held)).status is JobStatus.RUNNING
            assert await one.ended(held) is JobStatus.SUCCESS
        findings = await reckon(place, [])
    assert findings.clean, told(findings)
