"""The heartbeat: a consumer says that it lives, and hears what it may not go on with."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from mqjobs.model.outcome import StopReason
from mqjobs.processing.attempt import Attempt
from mqjobs.runtime.heartbeat import Heartbeat
from mqjobs.store.consumers import ConsumerInfo
from tests.support.surroundings import Surroundings
from tests.support.waiting import eventually

ALIVE_FOR = timedelta(minutes=1)
OFTEN = timedelta(milliseconds=10)


def a_heartbeat(around: Surroundings) -> Heartbeat:
    info = ConsumerInfo(around.services.runs.consumer_id, "here", 7, "0.1", ["default", "slow"])
    return Heartbeat(around.services, info, ALIVE_FOR)


async def the_consumer(around: Surroundings) -> Any:
    return await around.pool.fetchrow(
        "SELECT *, alive_until - clock_timestamp() AS left FROM mqjobs.consumer WHERE id = $1",
        around.services.runs.consumer_id,
    )


@asynccontextmanager
async def going_on(loop: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(loop)
        try:
            yield
        finally:
            stop.set()


@asynccontextmanager
async def a_run(around: Surroundings, name: str = "work") -> AsyncIterator[tuple[int, Attempt]]:
    """A job whose code runs here: its id and attempt."""
    job, attempt = await around.claimed(name), around.attempt()

    async def run() -> None:
        with attempt.running(), around.services.runs.held(job.id, job.lease, attempt):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(run())
        await eventually(lambda: job.id in around.services.runs.leases())
        yield job.id, attempt
        running.cancel()


async def test_a_consumer_is_known_from_its_beginning_to_its_end(around: Surroundings) -> None:
    await around.pool.execute("DELETE FROM mqjobs.consumer")
    heartbeat = a_heartbeat(around)

    await heartbeat.begin()

    known = await the_consumer(around)
    assert (known["host"], known["pid"], known["queues"]) == ("here", 7, ["default", "slow"])
    assert ALIVE_FOR - timedelta(seconds=20) < known["left"] <= ALIVE_FOR

    await heartbeat.end()

    assert await the_consumer(around) is None


async def test_beginning_again_after_an_answer_was_lost_changes_nothing(
    around: Surroundings,
) -> None:
    heartbeat = a_heartbeat(around)

    await heartbeat.begin()
    await heartbeat.begin()

    assert await around.pool.fetchval("SELECT count(*) FROM mqjobs.consumer") == 1


async def test_every_beat_lengthens_the_life(around: Surroundings) -> None:
    await around.pool.execute("UPDATE mqjobs.consumer SET alive_until = now()")
    stop = asyncio.Event()

    async def is_alive() -> bool:
        left: timedelta = (await the_consumer(around))["left"]
        return left > timedelta(seconds=40)

    async with going_on(a_heartbeat(around).beat(stop, OFTEN), stop):
        await eventually(is_alive)


async def test_every_beat_tells_the_time_of_the_database(around: Surroundings) -> None:
    clock, stop = around.services.envelopes.clock, asyncio.Event()
    right = clock.now()
    clock.set(right - timedelta(days=1))

    async with going_on(a_heartbeat(around).beat(stop, OFTEN), stop):
        await eventually(lambda: clock.now() >= right)


async def test_a_consumer_that_was_declared_dead_stops_what_runs_and_begins_anew(
    around: Surroundings,
) -> None:
    stop = asyncio.Event()

    async with a_run(around) as (_, attempt):
        await around.pool.execute("DELETE FROM mqjobs.consumer")
        async with going_on(a_heartbeat(around).beat(stop, OFTEN), stop):
            await eventually(lambda: the_consumer(around))

        assert attempt.stop_reason is StopReason.LEASE_LOST


async def stopped_by_watch(around: Surroundings, change: str) -> StopReason | None:
    """Why the watch stops a run whose job changes like this."""
    stop = asyncio.Event()
    async with a_run(around) as (job_id, attempt):
        await around.pool.execute(f"UPDATE mqjobs.job SET {change} WHERE id = $1", job_id)
        async with going_on(a_heartbeat(around).watch(stop, OFTEN), stop):
            await eventually(lambda: attempt.stop_reason)
        return attempt.stop_reason


async def test_an_interrupted_job_is_stopped(around: Surroundings) -> None:
    assert await stopped_by_watch(around, "interrupted = true") is StopReason.INTERRUPTED


async def test_a_run_whose_job_went_to_another_is_stopped(around: Surroundings) -> None:
    assert await stopped_by_watch(around, "lease = lease + 1") is StopReason.LEASE_LOST


async def test_a_run_whose_job_is_gone_is_stopped(around: Surroundings) -> None:
    stop = asyncio.Event()
    async with a_run(around) as (job_id, attempt):
        await around.pool.execute("DELETE FROM mqjobs.job WHERE id = $1", job_id)
        async with going_on(a_heartbeat(around).watch(stop, OFTEN), stop):
            await eventually(lambda: attempt.stop_reason)
        assert attempt.stop_reason is StopReason.LEASE_LOST


async def test_a_run_that_is_its_own_goes_on(around: Surroundings) -> None:
    stop = asyncio.Event()
    async with a_run(around) as (mine, attempt), a_run(around, "other") as (others, stopped):
        await around.pool.execute("UPDATE mqjobs.job SET interrupted = true WHERE id = $1", others)
        async with going_on(a_heartbeat(around).watch(stop, OFTEN), stop):
            await eventually(lambda: stopped.stop_reason)

        assert attempt.stop_reason is None
        assert mine in around.services.runs.leases()
