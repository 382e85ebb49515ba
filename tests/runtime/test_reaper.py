"""The reaper: what dead consumers left behind is run again."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from structlog.testing import capture_logs

from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.runtime.reaper import run_reaper
from mqjobs.store.claims import Claim, Granted
from mqjobs.store.consumers import ConsumerInfo, register
from tests.support.surroundings import Surroundings, surroundings, through
from tests.support.waiting import eventually
from tests.support.wire import Wire

NEVER = timedelta(hours=1)
OFTEN = timedelta(milliseconds=20)


async def dead_consumer(around: Surroundings, ago: timedelta = timedelta(minutes=1)) -> UUID:
    """A consumer that has said nothing for long."""
    info = ConsumerInfo(uuid4(), "there", 1, "0.1", ["default"])
    async with around.pool.acquire() as connection:
        await register(connection, info, -ago)
    return info.id


async def run_by(around: Surroundings, consumer_id: UUID, name: str = "work") -> Job:
    """The own child of a new root, run by this consumer."""
    root = await around.root(name)
    answer = await around.services.store.claim(Claim(root.own_child_id, uuid4(), consumer_id))
    assert isinstance(answer, Granted)
    return answer.job


async def has_status(around: Surroundings, job: Job, status: JobStatus) -> bool:
    return (await around.job(job.id)).status is status


async def test_what_ran_in_a_dead_consumer_runs_again_and_the_relay_is_woken(
    around: Surroundings,
) -> None:
    stop, lost = asyncio.Event(), await run_by(around, await dead_consumer(around))
    around.wake.clear()

    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_reaper(around.services.store, stop, interval=OFTEN, crashes_allowed=3)
        )
        await eventually(lambda: has_status(around, lost, JobStatus.FAILED_REDELIVERED))
        await eventually(around.wake.is_set)
        stop.set()

    assert len(await around.outbox()) == 1


async def test_what_runs_in_a_live_consumer_goes_on(around: Surroundings) -> None:
    stop, mine = asyncio.Event(), await around.claimed("mine")
    lost = await run_by(around, await dead_consumer(around), "lost")

    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_reaper(around.services.store, stop, interval=OFTEN, crashes_allowed=3)
        )
        await eventually(lambda: has_status(around, lost, JobStatus.FAILED_REDELIVERED))
        stop.set()

    assert await has_status(around, mine, JobStatus.RUNNING)


async def test_after_an_outage_nobody_is_reaped_before_everybody_could_beat_again(
    database_url: str, around: Surroundings
) -> None:
    stop = asyncio.Event()
    async with Wire.to(database_url) as wire:
        async with surroundings(through(wire, database_url)) as far, asyncio.TaskGroup() as group:
            wire.tear()
            living = await run_by(around, await dead_consumer(around))
            with capture_logs() as lines:
                group.create_task(
                    run_reaper(far.services.store, stop, interval=NEVER, crashes_allowed=3)
                )
                await eventually(lambda: said(lines, "database_away"))
                wire.mend()
                await eventually(lambda: said(lines, "database_back"))
            stop.set()

        assert await has_status(around, living, JobStatus.RUNNING)


def said(lines: Sequence[Mapping[str, Any]], event: str) -> bool:
    return any(line["event"] == event for line in lines)
