"""The heartbeat: a consumer says that it lives, and hears what it may not go on with."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from structlog.testing import capture_logs

from mqjobs.model.outcome import StopReason
from mqjobs.processing.attempt import HeldRun
from mqjobs.runtime.heartbeat import Heartbeat
from mqjobs.store.consumers import ConsumerInfo
from mqjobs.store.own_connection import OwnConnection
from tests.support.surroundings import Surroundings, through
from tests.support.waiting import eventually
from tests.support.wire import Wire

ALIVE_FOR = timedelta(minutes=1)
OFTEN = timedelta(milliseconds=10)


def a_heartbeat(around: Surroundings, url: str, alive_for: timedelta = ALIVE_FOR) -> Heartbeat:
    info = ConsumerInfo(around.services.runs.consumer_id, "here", 7, "0.1", ["default", "slow"])
    return Heartbeat(around.services, info, lambda: OwnConnection(url), alive_for)


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
async def a_run(around: Surroundings, name: str = "work") -> AsyncIterator[tuple[int, HeldRun]]:
    """A job whose code runs here: its id and its run."""
    job, attempt, held = await around.claimed(name), around.attempt(), list[HeldRun]()

    async def run() -> None:
        with attempt.running(), around.services.runs.held(job.id, job.lease, attempt) as each:
            held.append(each)
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(run())
        await eventually(lambda: job.id in around.services.runs.leases())
        yield job.id, held[0]
        running.cancel()


async def test_a_consumer_is_known_from_its_beginning_to_its_end(
    around: Surroundings, database_url: str
) -> None:
    await around.pool.execute("DELETE FROM mqjobs.consumer")
    heartbeat = a_heartbeat(around, database_url)

    await heartbeat.begin()

    known = await the_consumer(around)
    assert (known["host"], known["pid"], known["queues"]) == ("here", 7, ["default", "slow"])
    assert ALIVE_FOR - timedelta(seconds=20) < known["left"] <= ALIVE_FOR

    await heartbeat.end()

    assert await the_consumer(around) is None


async def test_beginning_again_after_an_answer_was_lost_changes_nothing(
    around: Surroundings, database_url: str
) -> None:
    heartbeat = a_heartbeat(around, database_url)

    await heartbeat.begin()
    await heartbeat.begin()

    assert await around.pool.fetchval("SELECT count(*) FROM mqjobs.consumer") == 1
    await heartbeat.end()


async def test_every_beat_lengthens_the_life(around: Surroundings, database_url: str) -> None:
    await around.pool.execute("UPDATE mqjobs.consumer SET alive_until = now()")
    stop = asyncio.Event()

    async def is_alive() -> bool:
        left: timedelta = (await the_consumer(around))["left"]
        return left > timedelta(seconds=40)

    async with going_on(a_heartbeat(around, database_url).beat(stop, OFTEN), stop):
        await eventually(is_alive)


async def test_every_beat_tells_the_time_of_the_database(
    around: Surroundings, database_url: str
) -> None:
    clock, stop = around.services.envelopes.clock, asyncio.Event()
    right = clock.now()
    clock.set(right - timedelta(days=1))

    async with going_on(a_heartbeat(around, database_url).beat(stop, OFTEN), stop):
        await eventually(lambda: clock.now() >= right)


async def test_a_consumer_that_was_declared_dead_stops_what_runs_and_begins_anew(
    around: Surroundings, database_url: str
) -> None:
    stop = asyncio.Event()

    async with a_run(around) as (_, attempt):
        await around.pool.execute("DELETE FROM mqjobs.consumer")
        async with going_on(a_heartbeat(around, database_url).beat(stop, OFTEN), stop):
            await eventually(lambda: the_consumer(around))

        assert attempt.stop_reason is StopReason.LEASE_LOST


async def stopped_by_watch(
    around: Surroundings, database_url: str, change: str
) -> StopReason | None:
    """Why the watch stops a run whose job changes like this."""
    stop = asyncio.Event()
    async with a_run(around) as (job_id, attempt):
        await around.pool.execute(f"UPDATE mqjobs.job SET {change} WHERE id = $1", job_id)
        async with going_on(a_heartbeat(around, database_url).watch(stop, OFTEN), stop):
            await eventually(lambda: attempt.stop_reason)
        return attempt.stop_reason


async def test_an_interrupted_job_is_stopped(around: Surroundings, database_url: str) -> None:
    assert (
        await stopped_by_watch(around, database_url, "interrupted = true") is StopReason.INTERRUPTED
    )


async def test_a_run_whose_job_went_to_another_is_stopped(
    around: Surroundings, database_url: str
) -> None:
    assert (
        await stopped_by_watch(around, database_url, "lease = lease + 1") is StopReason.LEASE_LOST
    )


async def test_a_run_whose_job_is_gone_is_stopped(around: Surroundings, database_url: str) -> None:
    stop = asyncio.Event()
    async with a_run(around) as (job_id, attempt):
        await around.pool.execute("DELETE FROM mqjobs.job WHERE id = $1", job_id)
        async with going_on(a_heartbeat(around, database_url).watch(stop, OFTEN), stop):
            await eventually(lambda: attempt.stop_reason)
        assert attempt.stop_reason is StopReason.LEASE_LOST


async def test_a_run_that_is_its_own_goes_on(around: Surroundings, database_url: str) -> None:
    stop = asyncio.Event()
    async with a_run(around) as (mine, attempt), a_run(around, "other") as (others, stopped):
        await around.pool.execute("UPDATE mqjobs.job SET interrupted = true WHERE id = $1", others)
        async with going_on(a_heartbeat(around, database_url).watch(stop, OFTEN), stop):
            await eventually(lambda: stopped.stop_reason)

        assert attempt.stop_reason is None
        assert mine in around.services.runs.leases()


async def is_alive(around: Surroundings) -> bool:
    """Whether all others take the consumer for alive."""
    left: timedelta = (await the_consumer(around))["left"]
    return left > timedelta(0)


async def is_alive_for_long(around: Surroundings, alive_for: timedelta) -> bool:
    """Whether it has just beaten."""
    left: timedelta = (await the_consumer(around))["left"]
    return left > 0.7 * alive_for


async def test_what_runs_is_stopped_before_others_may_take_it_when_nobody_hears_the_beat(
    around: Surroundings, database_url: str
) -> None:
    stop, alive_for = asyncio.Event(), timedelta(seconds=8)
    async with Wire.to(database_url) as wire, a_run(around) as (_, attempt):
        heartbeat = a_heartbeat(around, through(wire, database_url), alive_for)
        with capture_logs() as lines:
            await heartbeat.begin()
            async with (
                going_on(heartbeat.beat(stop, OFTEN), stop),
                going_on(heartbeat.watch(stop, OFTEN), stop),
            ):
                wire.is_silent = True
                await eventually(lambda: attempt.stop_reason)
                assert await is_alive(around)
                assert not around.services.runs.are_trusted
                wire.mend()
                await eventually(lambda: around.services.runs.are_trusted)
                await eventually(lambda: is_alive_for_long(around, alive_for))
            await heartbeat.end()
    assert attempt.stop_reason is StopReason.LEASE_LOST
    told = [line["event"] for line in lines if not line["event"].startswith("database")]
    assert told == ["cut_off", "alive_again"]


async def test_a_beat_without_an_answer_is_followed_by_another_on_a_new_connection(
    around: Surroundings, database_url: str
) -> None:
    stop, alive_for = asyncio.Event(), timedelta(seconds=15)
    async with Wire.to(database_url) as wire, a_run(around) as (_, attempt):
        heartbeat = a_heartbeat(around, through(wire, database_url), alive_for)
        await heartbeat.begin()
        async with going_on(heartbeat.beat(stop, OFTEN), stop):
            wire.is_silent = True
            await eventually(lambda: has_not_beaten_for(around, alive_for / 10))
            wire.is_silent = False  # what was lost stays lost: that connection never answers
            await eventually(lambda: is_alive_for_long(around, alive_for))
        await heartbeat.end()
        assert attempt.stop_reason is None


async def has_not_beaten_for(around: Surroundings, silence: timedelta) -> bool:
    """Whether the last beat that arrived is so old."""
    age: timedelta = await around.pool.fetchval(
        "SELECT clock_timestamp() - heartbeat_at FROM mqjobs.consumer WHERE id = $1",
        around.services.runs.consumer_id,
    )
    return age > silence


async def test_a_consumer_that_was_frozen_stops_what_runs_before_it_hears_of_anything(
    around: Surroundings, database_url: str
) -> None:
    stop, alive_for = asyncio.Event(), timedelta(seconds=1)
    heartbeat = a_heartbeat(around, database_url, alive_for)
    await heartbeat.begin()
    async with a_run(around) as (_, attempt), going_on(heartbeat.beat(stop, OFTEN), stop):
        time.sleep(alive_for.total_seconds())  # noqa: ASYNC251  as a process stands still
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert attempt.stop_reason is StopReason.LEASE_LOST
    await heartbeat.end()


async def test_a_pool_without_a_free_connection_does_not_hold_up_a_beat(
    around: Surroundings, database_url: str
) -> None:
    stop, alive_for = asyncio.Event(), timedelta(seconds=20)
    heartbeat = a_heartbeat(around, database_url, alive_for)
    await heartbeat.begin()
    async with asyncio.TaskGroup() as group:
        over = asyncio.Event()
        for _ in range(around.pool.get_max_size()):
            group.create_task(hold_one(around, over))
        await eventually(lambda: around.pool.get_idle_size() == 0)
        async with going_on(heartbeat.beat(stop, OFTEN), stop):
            beaten = around.services.runs
            beaten.trust_until(0)
            await eventually(lambda: beaten.are_trusted)
        over.set()
    await heartbeat.end()


async def hold_one(around: Surroundings, over: asyncio.Event) -> None:
    """A connection of the pool is somebody's."""
    async with around.pool.acquire():
        await over.wait()
