"""The reaper: what dead consumers left behind is run again."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count
from mqjobs.runtime import reaper
from mqjobs.runtime.reaper import run_reaper
from mqjobs.store import consumers
from mqjobs.store.claims import Claim, Granted
from mqjobs.store.consumers import ConsumerInfo, Reaped, register
from mqjobs.store.database import open_pool
from mqjobs.store.job_store import JobStore, transaction
from tests.support.surroundings import Surroundings, surroundings, through
from tests.support.waiting import eventually
from tests.support.wire import Wire

NEVER = timedelta(hours=1)
OFTEN = timedelta(milliseconds=20)


async def lost_job(around: Surroundings, name: str = "work") -> Job:
    """The own child of a new root, run by a consumer that has said nothing for long since."""
    [job] = await lost_jobs(around, name)
    return job


async def lost_jobs(around: Surroundings, *names: str) -> list[Job]:
    """Own children of new roots, all run by one consumer that has said nothing for long since."""
    info = ConsumerInfo(uuid4(), "there", 1, "0.1", ["default"])
    async with around.pool.acquire() as connection:
        await register(connection, info, timedelta(minutes=1))
    jobs = []
    for name in names:
        root = await around.root(name)
        answer = await around.services.store.claim(Claim(root.own_child_id, uuid4(), info.id))
        assert isinstance(answer, Granted)
        jobs.append(answer.job)
    async with around.pool.acquire() as connection:
        await register(connection, info, -timedelta(minutes=1))
    return jobs


async def has_status(around: Surroundings, job: Job, status: JobStatus) -> bool:
    return (await around.job(job.id)).status is status


async def test_what_ran_in_a_dead_consumer_runs_again_and_the_relay_is_woken(
    around: Surroundings,
) -> None:
    stop, lost = asyncio.Event(), await lost_job(around)
    around.wake.clear()

    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_reaper(around.services.store, stop, interval=OFTEN, crashes_allowed=3)
        )
        await eventually(lambda: has_status(around, lost, JobStatus.FAILED_REDELIVERED))
        await eventually(around.wake.is_set)
        stop.set()

    assert len(await around.outbox()) == 1
    assert around.services.tally.counts()[Count.REAPED, "redelivered"] == 1


async def test_a_job_under_which_consumers_died_too_often_leaves_a_letter_and_a_line_with_its_id(
    around: Surroundings,
) -> None:
    stop, lost = asyncio.Event(), await lost_job(around)

    with capture_logs() as lines:
        async with asyncio.TaskGroup() as group:
            group.create_task(
                run_reaper(around.services.store, stop, interval=OFTEN, crashes_allowed=1)
            )
            await eventually(lambda: has_status(around, lost, JobStatus.FAILED))
            await eventually(lambda: said(lines, "job_failed"))
            stop.set()

    [line] = [line for line in lines if line["event"] == "job_failed"]
    assert line["job_id"] == lost.id
    [letter] = await around.dead_letters()
    message_id = await around.pool.fetchval(
        "SELECT message_id FROM mqjobs.job WHERE id = $1", lost.id
    )
    assert (letter["message_id"], letter["dead_reason"]) == (message_id, "crashed")
    assert "died (1 of 1 times allowed)" in letter["dead_detail"]
    assert around.services.tally.counts()[Count.REAPED, "failed"] == 1
    assert not await around.outbox()


async def test_a_consumer_that_died_with_more_jobs_than_a_pass_takes_is_reaped_at_once(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "AT_ONCE", 2)
    stop, lost = asyncio.Event(), await lost_jobs(around, *"abcde")

    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_reaper(around.services.store, stop, interval=NEVER, crashes_allowed=3)
        )
        for job in lost:
            await eventually(partial(has_status, around, job, JobStatus.FAILED_REDELIVERED))
        stop.set()


async def test_reapers_that_meet_reap_each_job_once_and_never_wait_for_each_other_in_a_circle(
    around: Surroundings,
) -> None:
    names = [f"work {number}" for number in range(30)]
    jobs = [job for part in range(3) for job in await lost_jobs(around, *names[part::3])]

    async def reap_once() -> Reaped:
        async with transaction(around.pool) as connection:
            return await consumers.reap(connection, crashes_allowed=3, limit=7)

    reaped: list[Reaped] = []
    while sum(each.jobs for each in reaped) < len(jobs):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(reap_once()) for _ in range(4)]
        reaped += [task.result() for task in tasks]

    assert sum(each.redelivered for each in reaped) == len(jobs) == len(await around.outbox())


async def test_what_runs_in_a_live_consumer_goes_on(around: Surroundings) -> None:
    stop, mine = asyncio.Event(), await around.claimed("mine")
    lost = await lost_job(around, "lost")

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
            living = await lost_job(around)
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


async def test_a_job_that_somebody_has_in_hand_is_reaped_later_and_holds_up_no_other(
    around: Surroundings,
) -> None:
    stop = asyncio.Event()
    held, free = await lost_job(around, "held"), await lost_job(around, "free")

    async with asyncio.TaskGroup() as group:
        async with around.held_up(held):
            group.create_task(
                run_reaper(around.services.store, stop, interval=OFTEN, crashes_allowed=3)
            )
            await eventually(
                lambda: has_status(around, free, JobStatus.FAILED_REDELIVERED), what="its end"
            )
            assert (await around.job(held.id)).status is JobStatus.RUNNING
        await eventually(lambda: has_status(around, held, JobStatus.FAILED_REDELIVERED))
        stop.set()


async def test_a_reaper_that_is_ended_while_the_database_is_silent_does_not_wait_for_it(
    database_url: str,
) -> None:
    stop = asyncio.Event()
    async with Wire.to(database_url) as wire:
        url = f"{through(wire, database_url)}?sslmode=disable"
        async with open_pool(url, size=2, held_at_most=timedelta(seconds=1)) as pool:
            store = JobStore(pool, crashes_allowed=3, wake=asyncio.Event().set)
            wire.is_silent = True
            async with asyncio.TaskGroup() as group:
                reaping = group.create_task(
                    run_reaper(store, stop, interval=timedelta(seconds=1), crashes_allowed=3)
                )
                await asyncio.wait([reaping], timeout=0.2)
                stop.set()
                reaping.cancel()
                await asyncio.wait([reaping], timeout=8)
                has_ended = reaping.done()
                wire.mend()
                reaping.cancel()

    assert has_ended
