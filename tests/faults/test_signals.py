"""Signals, whatever a consumer is at: how it ends, what is written then, and that nothing is left undone."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from mqjobs import JobStatus
from tests.faults.arena import Arena, arena
from tests.faults.consumers import Process
from tests.faults.hand import Hand, hand
from tests.faults.ledger import What, read
from tests.faults.report import told
from tests.faults.runner import reckon
from tests.faults.topics import Act, Tree
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # a run waits up to two minutes until all is quiet

TERM, INT, QUIT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL
GRACE = "1"
SHORT, LONG, LONGER_THAN_THE_GRACE = 0.5, 20.0, 2.5

STOPPED_AT_ONCE = 130
CODES = {TERM: 0, INT: 0, QUIT: STOPPED_AT_ONCE, KILL: -KILL}

Situation = Callable[[Hand], Awaitable[int | None]]
"""Brings a consumer there; the root of the job that it is about, if it is about one."""


async def idle(one: Hand) -> None:
    """Has done something, and waits for more."""
    assert await one.ended(await one.single()) is JobStatus.SUCCESS


async def in_a_short_job(one: Hand) -> int:
    """Runs something that ends within the grace."""
    return await running(one, Act.SUCCEED, SHORT)


async def in_a_long_job(one: Hand) -> int:
    """Runs something that does not."""
    return await running(one, Act.SUCCEED, LONG)


async def in_a_job_that_ignores_it(one: Hand) -> int:
    """Runs something that goes on when it is stopped."""
    return await running(one, Act.IGNORE, LONGER_THAN_THE_GRACE)


async def in_the_middle_of_a_flush(one: Hand) -> None:
    """Claims and finishes many at once."""
    await one.send(Tree(slot="flush", children=100, seed=1))
    await eventually(lambda: len(leaves(one.arena)) > 20, what="children that have ended")


async def running(one: Hand, act: Act, seconds: float) -> int:
    root_id = await one.single(act, seconds)
    await one.starts(root_id)
    return root_id


def leaves(place: Arena) -> list[str]:
    """The children that have begun."""
    return [
        event.get("run")
        for event in read(place.folder)
        if event.what is What.START and event.get("topic") == "faults.leaf"
    ]


IGNORED = {JobStatus.SUCCESS, JobStatus.FAILED_REDELIVERED}
"""It ended before its lease was taken from it, or it was: a busy machine decides."""

LEFT: Mapping[tuple[Situation, signal.Signals], Collection[JobStatus]] = {
    (in_a_short_job, TERM): {JobStatus.SUCCESS},
    (in_a_short_job, INT): {JobStatus.SUCCESS},
    (in_a_short_job, QUIT): {JobStatus.FAILED_REDELIVERED},
    (in_a_short_job, KILL): {JobStatus.RUNNING},
    (in_a_long_job, TERM): {JobStatus.FAILED_REDELIVERED},
    (in_a_long_job, INT): {JobStatus.FAILED_REDELIVERED},
    (in_a_long_job, QUIT): {JobStatus.FAILED_REDELIVERED},
    (in_a_long_job, KILL): {JobStatus.RUNNING},
    (in_a_job_that_ignores_it, TERM): IGNORED,
    (in_a_job_that_ignores_it, INT): IGNORED,
    (in_a_job_that_ignores_it, QUIT): IGNORED,
    (in_a_job_that_ignores_it, KILL): {JobStatus.RUNNING},
}
"""The job when the consumer has ended: its outcome was written, it was given back, or nobody could say."""


@pytest.mark.parametrize(
    "situation",
    [idle, in_a_short_job, in_a_long_job, in_a_job_that_ignores_it, in_the_middle_of_a_flush],
)
async def test_whatever_a_consumer_is_at_a_signal_leaves_nothing_undone(
    tmp_path: Path, postgres_url: str, amqp_url: str, situation: Situation
) -> None:
    async with asyncio.TaskGroup() as group:  # four consumers, strangers to each other
        for number in CODES:
            own = arena(
                tmp_path / number.name, postgres=postgres_url, broker=amqp_url, MQJOBS_GRACE=GRACE
            )
            group.create_task(try_signal(own, situation, number))


async def try_signal(
    own: AbstractAsyncContextManager[Arena], situation: Situation, number: signal.Signals
) -> None:
    """A consumer gets this signal, and another does the rest."""
    async with own as place:
        await place.consuming(1)
        [process] = place.consumers.living()
        async with hand(place) as one:
            root_id = await situation(one)
            code = await asyncio.to_thread(signalled, place, process, number)

            assert code == CODES[number], process.log.read_text("utf-8")
            if root_id is not None:
                assert (await one.own(root_id)).status in LEFT[situation, number]
            await place.consuming(1)
            if root_id is not None and situation is in_a_long_job:
                await one.mq.jobs.interrupt(root_id)
        findings = await reckon(place, ())

    assert findings.clean, told(findings)


def signalled(place: Arena, process: Process, number: signal.Signals) -> int:
    """How the consumer ended upon the signal."""
    if number is KILL:
        place.consumers.kill(process)
        return process.popen.returncode
    code = place.consumers.end(process, number=number)
    assert code is not None, f"it did not end: {process.log.read_text('utf-8')}"
    return code
