"""Faults of processes: whatever is killed or stands still, nothing is lost and nothing runs twice."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from mqjobs import JobStatus
from tests.faults.arena import OVER_POSTGRES, Arena, arena
from tests.faults.checker import Findings
from tests.faults.hand import Hand, hand
from tests.faults.ledger import Outcome, What, read
from tests.faults.report import told
from tests.faults.runner import Wish, reckon, run
from tests.faults.topics import Act
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # a run waits up to two minutes until all is quiet

RECOVERED_WITHIN = timedelta(seconds=15)
UNDER_A_PARENT = timedelta(seconds=3)
SLOW_MACHINE = timedelta(seconds=20)
"""How much longer is waited, so that what is slow is told apart from what never comes."""


def assert_clean(findings: Findings) -> None:
    """Nothing forbidden was found."""
    assert findings.clean, told(findings)


@pytest.mark.parametrize("over", ["rabbitmq", "postgres"])
async def test_nothing_is_lost_and_nothing_runs_twice_while_consumers_are_killed(
    tmp_path: Path, postgres_url: str, amqp_url: str, over: str
) -> None:
    bus = amqp_url if over == "rabbitmq" else OVER_POSTGRES
    async with arena(tmp_path, postgres=postgres_url, broker=bus) as place:
        wish = Wish(duration=6, seed=1, rate=40, faults=("kill",), consumers=2, tree=30)
        findings = await run(place, wish)

    assert_clean(findings)
    assert findings.counts["deaths"] > wish.consumers
    assert findings.counts["runs of jobs"] > 0


async def test_a_consumer_that_stood_still_for_too_long_changes_nothing_and_its_code_is_stopped(
    tmp_path: Path, postgres_url: str, amqp_url: str
) -> None:
    async with arena(
        tmp_path,
        postgres=postgres_url,
        broker=amqp_url,
        MQJOBS_CONCURRENCY="2",
        MQJOBS_PREFETCH="2",  # with more, the broker may bring the next messages to the frozen one
    ) as place:
        await place.consuming(1)
        async with hand(place) as one:
            short_id, long_id = await one.single(Act.IGNORE, 2), await one.single(seconds=100)
            await one.starts(short_id)
            await one.starts(long_id)
            [frozen] = place.consumers.living()
            place.consumers.freeze(frozen)
            await place.consuming(1)
            await one.starts(long_id, 2)
            assert await one.ended(short_id) is JobStatus.SUCCESS
            recorded = [await one.own(root_id) for root_id in (short_id, long_id)]

            place.consumers.thaw(frozen)
            await eventually(lambda: frozen.wrote('"lease_lost"'), what="a late finish")
            await eventually(lambda: frozen.id in ends_of(place, long_id), what="its code's stop")

            assert ends_of(place, short_id)[frozen.id] == Outcome.TRUE
            assert ends_of(place, long_id)[frozen.id] == Outcome.STOPPED
            assert [await one.own(root_id) for root_id in (short_id, long_id)] == recorded
            await one.mq.jobs.interrupt(long_id)
            assert await one.ended(long_id) is JobStatus.CANCELLED
            await works(one, frozen.id)
        assert_clean(await reckon(place, ()))


@asynccontextmanager
async def at_the_usual_pace(folder: Path, postgres_url: str, amqp_url: str) -> AsyncIterator[Arena]:
    """An arena in which consumers are declared dead as late as by default."""
    usual = arena(
        folder,
        postgres=postgres_url,
        broker=amqp_url,
        MQJOBS_HEARTBEAT_INTERVAL="",
        MQJOBS_DEAD_AFTER="",
        MQJOBS_REAP_INTERVAL="",
    )
    async with usual as place:
        yield place


async def test_the_jobs_of_one_killed_consumer_of_two_run_again_soon(
    tmp_path: Path, postgres_url: str, amqp_url: str
) -> None:
    async with at_the_usual_pace(tmp_path, postgres_url, amqp_url) as place:
        await place.consuming(2)
        victim = place.consumers.living()[0]
        async with hand(place) as one:
            again = await recovery(one, victim.id, lambda: place.consumers.kill(victim))
        assert_clean(await reckon(place, ()))

    print(f"\nrun again after {again:.1f} s")
    assert again < RECOVERED_WITHIN.total_seconds()


async def test_the_jobs_of_a_killed_child_of_a_parent_run_again_at_once(
    tmp_path: Path, postgres_url: str, amqp_url: str
) -> None:
    async with at_the_usual_pace(tmp_path, postgres_url, amqp_url) as place:
        place.consumers.flags = ("--processes", "2")
        await place.consuming(1)
        [parent] = place.consumers.living()
        async with hand(place) as one:

            async def are_two() -> bool:
                return len(await one.mq.jobs.consumers()) == 2

            await eventually(are_two, what="the parent's two consumers")
            [start] = await one.starts(await one.single())
            pid = int(start.by.rpartition(".")[2])
            again = await recovery(one, start.by, lambda: place.consumers.kill_child(parent, pid))
        assert_clean(await reckon(place, ()))

    print(f"\nrun again after {again:.1f} s")
    assert again < UNDER_A_PARENT.total_seconds()


async def recovery(one: Hand, victim: str, kill: Callable[[], None]) -> float:
    """After how many seconds the last of the jobs that ran in the killed process ran again."""
    roots = [await one.single(seconds=1.5) for _ in range(12)]
    starts = [(await one.starts(root_id))[0] for root_id in roots]
    died = monotonic()
    kill()
    orphans = [event.get("root") for event in starts if event.by == victim]
    assert orphans
    again = [
        (await one.starts(root_id, 2, RECOVERED_WITHIN + SLOW_MACHINE))[1].at - died
        for root_id in orphans
    ]
    for root_id in roots:
        assert await one.ended(root_id) is JobStatus.SUCCESS
    return max(again)


async def works(one: Hand, process: str) -> None:
    """The process takes messages and runs jobs."""

    async def has_run() -> bool:
        root_id = await one.single()
        [start, *_] = await one.starts(root_id)
        return start.by == process

    await eventually(has_run, what=f"a run in {process}")


def ends_of(place: Arena, root_id: int) -> dict[str, str]:
    """How the runs of this root's jobs have ended, by the process that they were in."""
    events = read(place.folder)
    runs = {
        event.get("run")
        for event in events
        if event.what is What.START and event.get("root") == root_id
    }
    return {
        event.by: event.get("outcome")
        for event in events
        if event.what is What.END and event.get("run") in runs
    }
