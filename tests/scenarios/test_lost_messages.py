"""What was lost on its way comes again, for the job rows know what to send; where all is well, nothing does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count
from tests.support.consuming import Running, Stage
from tests.support.processors import Gate, delayed, never, returning, splitting, unique
from tests.support.topics import Piece, Work
from tests.support.waiting import eventually

PACE: dict[str, Any] = {"resend_after": 1, "heartbeat_interval": 0.1}
PIECES = [f"piece {number}" for number in range(3)]


async def lose(mq: Running, queue: str) -> None:
    """All that waits in the queue is thrown away, behind everybody's back."""
    if mq.stage.broker_url is None:
        await mq.execute("DELETE FROM mqjobs.message WHERE queue = $1", mq.stage.queue(queue))
        return
    async with channel_to(mq.stage.broker_url) as channel:
        await (await channel.get_queue(mq.stage.queue(queue))).purge()


async def delete(mq: Running, queue: str) -> None:
    """The broker has lost the queue, and all that waited in it."""
    assert mq.stage.broker_url is not None
    async with channel_to(mq.stage.broker_url) as channel:
        await channel.queue_delete(mq.stage.queue(queue))


@asynccontextmanager
async def channel_to(broker_url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of the test's own."""
    async with await aio_pika.connect(broker_url) as connection, connection.channel() as channel:
        yield channel


async def waiting(mq: Running, queue: str) -> int:
    """How many messages wait in a queue; none are on their way to it."""
    if mq.stage.broker_url and await mq.fetchval("SELECT count(*) FROM mqjobs.message"):
        return -1
    states = await mq.app.transport.queue_states([mq.stage.queue(queue)])
    return sum(state.ready for state in states)


async def with_waiting(mq: Running, queue: str, count: int) -> None:
    """So many messages wait in the queue."""

    async def is_so() -> bool:
        return await waiting(mq, queue) == count

    await eventually(is_so, what=f"{count} messages in {queue}")


async def looked_again(mq: Running, times: int = 4) -> None:
    """Somebody has looked so often for what is lost."""
    turns = "SELECT taken_at FROM mqjobs.turn WHERE name = 'resend'"
    seen = {await mq.fetchval(turns)}

    async def has_looked() -> bool:
        seen.add(await mq.fetchval(turns))
        return len(seen) > times

    await eventually(has_looked, what=f"{times} looks")


def repairs(mq: Running) -> int:
    """How many repairs the consumers have counted."""
    return sum(
        count
        for each in mq.consumers
        for (what, _), count in each.consumer.services.tally.counts().items()
        if what is Count.REPAIRS
    )


async def runs_of(mq: Running, root_id: int) -> list[int]:
    """The lease numbers of the children of a root: how often each has run."""
    rows = await mq.fetch("SELECT lease FROM mqjobs.job WHERE root_id = $1 ORDER BY id", root_id)
    return [row["lease"] for row in rows]


async def test_delayed_children_whose_messages_were_thrown_away_run_all_the_same(
    either: Stage,
) -> None:
    pieces = delayed(returning(True), queue="pieces")
    async with either.running(unique(splitting(*PIECES)), pieces, consumers=0, **PACE) as mq:
        await mq.start_consumer("default")
        root_id = await mq.start(Work())
        await with_waiting(mq, "pieces", len(PIECES))
        await lose(mq, "pieces")
        await mq.start_consumer("pieces")

        root = await mq.end(root_id)

        assert root.status is JobStatus.SUCCESS
        assert repairs(mq) == len(PIECES)
        assert await runs_of(mq, root_id) == [1] * (1 + len(PIECES))


async def test_a_root_whose_message_was_thrown_away_runs_all_the_same(either: Stage) -> None:
    async with either.running(unique(returning(True)), consumers=0, **PACE) as mq:
        root_id = await mq.start(Work())
        if either.broker_url:
            await mq.app.relay.carry()
        await with_waiting(mq, "default", 1)
        await lose(mq, "default")
        await mq.start_consumer()

        assert (await mq.end(root_id)).status is JobStatus.SUCCESS
        assert repairs(mq) == 1


async def test_a_job_that_is_to_be_tried_again_is_when_its_message_was_lost(
    either: Stage,
) -> None:
    async with either.running(unique(returning(True)), consumers=0, **PACE) as mq:
        root_id = await mq.start(Work())
        await mq.execute("DELETE FROM mqjobs.message")
        [own] = (await mq.children(root_id)).values()
        await mark_redelivered(mq, own)
        await mq.start_consumer()

        assert (await mq.end(root_id)).status is JobStatus.SUCCESS


async def mark_redelivered(mq: Running, job: Job) -> None:
    """The job was given back by a consumer once."""
    for status in ("running", "failed_redelivered"):
        await mq.execute(
            "UPDATE mqjobs.job SET status = $2, lease = 1, consumer_id = gen_random_uuid()"
            " WHERE id = $1",
            job.id,
            status,
        )
    await mq.execute("UPDATE mqjobs.job SET status = 'running' WHERE id = $1", job.root_id)


@pytest.mark.rabbitmq
async def test_a_queue_that_is_gone_gets_its_messages_when_its_consumer_has_declared_it_again(
    amqp_stage: Stage,
) -> None:
    pieces = delayed(returning(True), queue="pieces")
    async with amqp_stage.running(unique(splitting(*PIECES)), pieces, consumers=0, **PACE) as mq:
        await mq.start_consumer("default")
        root_id = await mq.start(Work())
        await with_waiting(mq, "pieces", len(PIECES))
        await delete(mq, "pieces")
        await mq.quiet(root_id)
        await looked_again(mq)

        assert repairs(mq) == 0
        await mq.start_consumer("pieces")
        assert (await mq.end(root_id)).status is JobStatus.SUCCESS


async def test_what_waits_in_a_queue_that_nobody_consumes_is_not_lost(either: Stage) -> None:
    pieces = delayed(never, queue="pieces")
    async with either.running(unique(splitting(*PIECES)), pieces, consumers=0, **PACE) as mq:
        await mq.start_consumer("default")
        root_id = await mq.start(Work())
        await with_waiting(mq, "pieces", len(PIECES))
        await mq.quiet(root_id)
        await looked_again(mq)

        assert repairs(mq) == 0
        assert await waiting(mq, "pieces") == len(PIECES)


@pytest.mark.parametrize("count", [2, 3, 9])
async def test_what_waits_behind_others_in_a_busy_consumer_is_not_lost(
    either: Stage, count: int
) -> None:
    gate, names = Gate(), [f"piece {number}" for number in range(count)]
    pieces = delayed(gate, queue="pieces")
    pace = {**PACE, "concurrency": 1, "prefetch": 3}
    async with either.running(unique(splitting(*names)), pieces, consumers=0, **pace) as mq:
        await mq.start_consumer("default")
        await mq.start_consumer("pieces")
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(root_id)
        await looked_again(mq)
        assert repairs(mq) == 0
        gate.open()

        assert (await mq.end(root_id)).status is JobStatus.SUCCESS
        assert await runs_of(mq, root_id) == [1] * (1 + count)
        assert repairs(mq) == 0


async def test_what_is_to_come_later_is_not_lost(either: Stage) -> None:
    split = splitting("later", start=Piece(), delay=3600)
    async with either.running(unique(split), delayed(never), **PACE) as mq:
        root_id = await mq.start(Work())
        await mq.child_when_there(root_id, "later")
        await mq.quiet(root_id)
        await looked_again(mq)

        assert repairs(mq) == 0


async def test_a_root_that_was_created_to_be_run_by_another_message_is_left_alone(
    stage: Stage,
) -> None:
    async with stage.running(**PACE) as mq:
        made = await mq.inside(
            lambda message, context: context.jobs.create_unique(message.id, "by another")
        )
        assert made is not None
        await mq.quiet(made.id)
        await looked_again(mq)

        assert repairs(mq) == 0
        assert (await mq.job(made.id)).status is JobStatus.NEW
