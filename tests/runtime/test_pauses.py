"""Paused queues: a consumer hears of it at its start and while it runs, and other queues go on."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.processing.context import Context
from mqjobs.store import queues
from tests.support.consuming import Running, Stage
from tests.support.processors import Acting, Gate, Hearing
from tests.support.topics import Note, SteadyNote
from tests.support.waiting import eventually


@pytest.fixture
def stage(database_url: str) -> Stage:
    return Stage(database_url)


async def pause(mq: Running, queue: str) -> None:
    async with mq.app.database.acquire() as connection:
        await queues.pause(connection, queue, by="ann")


async def resume(mq: Running, queue: str) -> None:
    async with mq.app.database.acquire() as connection:
        await queues.resume(connection, queue)


async def waiting(mq: Running, queue: str) -> int:
    [state] = await mq.app.transport.queue_states([queue])
    return state.ready


async def test_what_runs_goes_on_what_has_not_started_goes_back_and_others_go_on(
    stage: Stage,
) -> None:
    gate, other = Gate(), Hearing(SteadyNote, "busy")

    async def act(message: Message[Any], context: Context) -> Result:
        await gate.passed()
        return Result.ACK

    note = Acting(Note, act, "quiet")
    async with stage.running(note, other, concurrency=2, prefetch=9) as mq:
        for _ in range(6):
            await mq.send(Note())
        await gate.reached(2)
        with capture_logs() as logs:
            await pause(mq, "quiet")
            await eventually(lambda: gives_back(mq, "quiet", 4), what="four are given back")
            gate.open()
            await mq.attempts(2)
            await mq.send(SteadyNote())
            await eventually(lambda: other.heard, what="another queue's message is heard")
            assert await waiting(mq, "quiet") == 4

            await resume(mq, "quiet")
            await mq.attempts(7)

    said = [(each["event"], each["queue"]) for each in logs if "queue" in each["event"]]
    assert said == [("queue_paused", "quiet"), ("queue_resumed", "quiet")]
    assert next(each for each in logs if each["event"] == "queue_paused")["by"] == "ann"


async def gives_back(mq: Running, queue: str, count: int) -> bool:
    return await waiting(mq, queue) == count


async def test_a_consumer_that_starts_while_a_queue_is_paused_takes_nothing_from_it(
    stage: Stage,
) -> None:
    quiet, busy = Hearing(Note, "quiet"), Hearing(SteadyNote, "busy")
    async with stage.running(quiet, busy, consumers=0) as mq:
        await mq.send(Note())
        await pause(mq, "quiet")
        await mq.start_consumer()
        await mq.send(SteadyNote())
        await eventually(lambda: busy.heard)

        assert await waiting(mq, "quiet") == 1
        assert quiet.heard == []
