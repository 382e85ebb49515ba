"""Queues in the hands of operators, the same over both transports: what is listed, paused, thrown away."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from mqjobs.store.purges import Purged
from tests.support.amqp import Declared
from tests.support.consuming import Running, Stage
from tests.support.processors import Acting, Hearing, delayed
from tests.support.topics import Note, Piece, Work
from tests.support.waiting import eventually


@pytest.fixture
def postgres_stage(database_url: str) -> Stage:
    return Stage(database_url)


@pytest.fixture
def rabbitmq_stage(
    database_url: str, amqp_url: str, amqp_prefix: str, amqp_declared: Declared
) -> Stage:
    return Stage(database_url, amqp_url, amqp_prefix, amqp_declared)


@pytest.fixture(
    params=[
        pytest.param("postgres_stage", marks=pytest.mark.postgres),
        pytest.param("rabbitmq_stage", marks=pytest.mark.rabbitmq),
    ]
)
def stage(request: pytest.FixtureRequest) -> Stage:
    found: Stage = request.getfixturevalue(request.param)
    return found


async def nothing(runner: JobRunner, job: RunningJob) -> bool:
    return True


def splitting(pieces: int) -> Acting:
    """Makes so many delayed children."""

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        for number in range(pieces):
            await runner.create_delayed(f"piece:{number}", Piece(number=number))
        return True

    async def act(message: Message[Any], context: Context) -> Result:
        return Result.of(await context.jobs.run_unique_by_message(message, split))

    return Acting(Work, act, "work")


async def ready(mq: Running, queue: str) -> int:
    [report] = [each for each in await mq.app.queues.list() if each.queue == queue]
    return report.state.ready if report.state else 0


async def status(mq: Running, job_id: int) -> JobStatus:
    return (await mq.app.jobs.get(job_id)).status


async def test_queues_are_listed_with_their_topics_and_pauses(stage: Stage) -> None:
    async with stage.running(Hearing(Note, "notes"), consumers=0) as mq:
        queue = stage.queue("notes")
        await mq.send(Note())
        await eventually(lambda: ready(mq, queue))
        assert await mq.app.queues.pause(queue, by="ann")

        [notes] = [each for each in await mq.app.queues.list() if each.queue == queue]

        assert (notes.topics, notes.state and notes.state.ready) == (["tests.note"], 1)
        assert notes.paused
        assert notes.paused.paused_by == "ann"
        assert not await mq.app.queues.pause(queue, by="bob")
        assert await mq.app.queues.resume(queue)
        assert not await mq.app.queues.resume(queue)


async def test_a_purge_throws_away_what_waits_now_and_for_later_and_leaves_other_queues(
    stage: Stage,
) -> None:
    notes, pieces = Hearing(Note, "notes"), Hearing(Piece, "pieces")
    async with stage.running(notes, pieces, consumers=0) as mq:
        queue, other = stage.queue("notes"), stage.queue("pieces")
        for _ in range(7):
            await mq.send(Note())
        await mq.send(Note(), delay=3600)
        await mq.send(Piece())
        await eventually(lambda: ready(mq, other))

        assert await mq.app.queues.waiting(queue) == 8
        assert await mq.app.queues.purge(queue, by="ann") == Purged(8, 0)

        assert await mq.app.queues.waiting(queue) == 0
        assert await mq.app.queues.purge(queue, by="ann") == Purged(0, 0)
        assert await ready(mq, other) == 1


async def test_a_purge_cancels_the_jobs_that_wait_and_their_names_are_free(stage: Stage) -> None:
    async with stage.running(splitting(0), consumers=0) as mq:
        queue = stage.queue("work")
        roots = [await mq.start(Work(job=f"job{number}")) for number in range(3)]
        await eventually(lambda: ready(mq, queue))

        assert await mq.app.queues.purge(queue, by="ann") == Purged(3, 3)

        assert {await status(mq, root) for root in roots} == {JobStatus.CANCELLED}
        [own] = await mq.app.jobs.children(roots[0])
        assert own.error == f"its message was purged from queue {queue} by ann"
        await mq.start(Work(job="job0"))


async def test_a_purge_of_children_ends_their_root_when_what_runs_of_it_has_ended(
    stage: Stage,
) -> None:
    quiet = delayed(nothing, queue="pieces")
    async with stage.running(splitting(250), quiet, consumers=0) as mq:
        queue = stage.queue("pieces")
        await mq.start_consumer("work")
        root = await mq.start(Work())
        await eventually(lambda: waits(mq, queue, 250), what="the children's messages")

        assert await mq.app.queues.purge(queue, by="ann") == Purged(250, 250)

        await eventually(lambda: has_ended(mq, root))
        assert await status(mq, root) is JobStatus.CANCELLED


async def waits(mq: Running, queue: str, count: int) -> bool:
    return await mq.app.queues.waiting(queue) == count


async def has_ended(mq: Running, root: int) -> bool:
    return (await status(mq, root)).is_terminal


async def test_a_purge_leaves_what_consumers_have(stage: Stage) -> None:
    async with stage.running(Hearing(Note, "notes"), consumers=0) as mq:
        queue = stage.queue("notes")
        for _ in range(4):
            await mq.send(Note())
        await eventually(lambda: waits(mq, queue, 4))
        opened = mq.app.transport.inbox([queue], prefetch=1, consumer_id=uuid7())
        async with opened as inbox:
            held = await anext(inbox.deliveries())

            assert await mq.app.queues.purge(queue, by="ann") == Purged(3, 0)

            inbox.ack(held)
        assert await mq.app.queues.waiting(queue) == 0


async def test_a_queue_that_is_not_there_has_nothing_to_purge_and_is_not_made(
    stage: Stage,
) -> None:
    async with stage.running(Hearing(Note, "notes"), consumers=0) as mq:
        absent = stage.queue("absent")
        assert await mq.app.queues.purge(absent, by="ann") == Purged(0, 0)
        assert await mq.app.transport.queue_states([absent]) == []
