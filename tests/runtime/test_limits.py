"""Limits: which one it was is said, and no more is begun."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.processing.context import Context
from mqjobs.runtime.limits import Limits, resident_bytes
from tests.support.consuming import Stage
from tests.support.processors import Hearing, acting
from tests.support.topics import Note
from tests.support.waiting import eventually

MEGABYTE = 1024 * 1024


def reached(lines: list[Any]) -> list[str]:
    return [line["limit"] for line in lines if line["event"] == "limit_reached"]


async def test_no_more_deliveries_are_begun_than_the_limit_and_the_rest_is_given_back(
    database_url: str,
) -> None:
    stage = Stage(database_url)
    with capture_logs() as lines:
        async with stage.running(Hearing(Note), concurrency=2, message_limit=3) as mq:
            [consumer] = mq.consumers
            await mq.app.producer.send_many([Note()] * 8)
            await eventually(consumer.task.done, what="the consumer's end")
            waiting = await mq.fetchval(
                "SELECT count(*) FROM mqjobs.message WHERE consumer_id IS NULL"
            )

    assert (len(mq.ended), waiting) == (3, 5)
    assert [each.result for each in mq.ended] == [Result.ACK] * 3
    assert reached(lines) == ["messages"]


async def test_a_limit_that_is_not_there_is_never_reached() -> None:
    limits, stop, over = Limits(), asyncio.Event(), asyncio.Event()
    over.set()

    for _ in range(1000):
        limits.begin_one(stop)
    await limits.watch(stop, over)

    assert not stop.is_set()


async def test_the_time_is_up_when_it_is_up() -> None:
    limits, stop = Limits(time=timedelta(seconds=0.2)), asyncio.Event()
    began = asyncio.get_running_loop().time()

    with capture_logs() as lines:
        await limits.watch(stop, asyncio.Event())

    assert asyncio.get_running_loop().time() - began >= 0.2
    assert stop.is_set()
    assert reached(lines) == ["time"]


async def test_memory_above_the_limit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqjobs.runtime.limits.BETWEEN_LOOKS", timedelta(seconds=0.05))
    limits, stop = Limits(memory=resident_bytes() + 50 * MEGABYTE), asyncio.Event()

    with capture_logs() as lines:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(limits.watch(stop, asyncio.Event()))
            await asyncio.wait([watching], timeout=0.3)
            assert not stop.is_set()
            held = b"x" * (100 * MEGABYTE)
            await eventually(stop.is_set, what="the limit")
            del held

    assert reached(lines) == ["memory"]


def test_the_memory_in_use_is_told_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    told = resident_bytes()
    monkeypatch.setattr("mqjobs.runtime.limits.STATM", Path("/nowhere"))

    assert 5 * MEGABYTE < told < 5000 * MEGABYTE
    assert told / 2 < resident_bytes() < 5000 * MEGABYTE


async def test_the_consumer_that_has_drained_at_a_limit_has_let_what_ran_end(
    database_url: str,
) -> None:
    stage = Stage(database_url)
    finish = asyncio.Event()

    async def act(message: Message[Any], context: Context) -> Result:
        await finish.wait()
        return Result.ACK

    async with stage.running(acting(act), message_limit=1, grace=60) as mq:
        [consumer] = mq.consumers
        await mq.send(Note())
        await eventually(lambda: mq.arrived, what="the message")
        await eventually(consumer.stop.is_set, what="the limit")
        assert not consumer.task.done()
        finish.set()
        await eventually(consumer.task.done, what="the consumer's end")

    assert [each.result for each in mq.ended] == [Result.ACK]
