"""The consumer: so much at once, and in order to its end, however that comes."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from mqjobs.app import opening
from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from mqjobs.runtime import consumer as consumer_module
from mqjobs.runtime.consumer import Consumer
from mqjobs.store.database import Pool
from mqjobs.transport import postgres_inbox
from mqjobs.transport.background import first_failure
from tests.support.consuming import Running, Stage
from tests.support.processors import Gate, Hearing, acting, unique
from tests.support.surroundings import through
from tests.support.topics import Note, Work
from tests.support.waiting import eventually
from tests.support.wire import Wire


@pytest.fixture
def stage(database_url: str) -> Stage:
    return Stage(database_url)


@pytest.fixture
def gate() -> Gate:
    return Gate()


def waiting_at(gate: Gate) -> Any:
    """A processor of notes that waits at the gate."""

    async def act(message: Message[Any], context: Context) -> Result:
        await gate.passed()
        return Result.ACK

    return acting(act)


async def waiting_messages(mq: Running) -> int:
    found: int = await mq.fetchval(
        "SELECT count(*) FROM mqjobs.message WHERE dead_at IS NULL AND consumer_id IS NULL"
    )
    return found


async def test_no_more_run_at_once_than_the_concurrency_allows(stage: Stage, gate: Gate) -> None:
    async with stage.running(waiting_at(gate), concurrency=2, prefetch=5) as mq:
        for _ in range(5):
            await mq.send(Note())
        await gate.reached(2)
        gate.open()
        await mq.attempts(5)

    assert gate.most_at_once == 2


async def test_a_consumer_that_is_told_to_stop_lets_what_runs_end_and_gives_back_the_rest(
    stage: Stage, gate: Gate
) -> None:
    async with stage.running(waiting_at(gate), concurrency=1, prefetch=3, grace=60) as mq:
        for _ in range(3):
            await mq.send(Note())
        await gate.reached()
        [consumer] = mq.consumers
        consumer.stop.set()
        await eventually(lambda: has_given_back(mq, 1), what="that one is given back")
        gate.open()
        await consumer.stopped()

        assert [each.result for each in mq.ended] == [Result.ACK]
        assert await waiting_messages(mq) == 2


async def has_given_back(mq: Running, count: int) -> bool:
    return await waiting_messages(mq) >= count


async def test_what_runs_longer_than_the_grace_is_given_back(stage: Stage, gate: Gate) -> None:
    async with stage.running(unique(gate), grace=0.05) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.consumers[0].stopped()

        own = await mq.child(root_id, "work")
        assert (own.status, own.attempt) == (JobStatus.FAILED_REDELIVERED, 0)
        assert gate.stopped == 1
        assert await waiting_messages(mq) >= 1


async def test_a_second_signal_stops_at_once_and_what_runs_is_given_back_not_failed(
    stage: Stage, gate: Gate
) -> None:
    async with stage.running(unique(gate), grace=3600) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        [consumer] = mq.consumers
        consumer.stop.set()
        consumer.task.cancel()
        await eventually(consumer.task.done)

        assert consumer.task.cancelled()
        own = await mq.child(root_id, "work")
        assert (own.status, own.attempt) == (JobStatus.FAILED_REDELIVERED, 0)
        assert not await mq.app.dead.list()


async def test_a_service_that_fails_ends_the_consumer_with_its_error_and_what_runs_is_given_back(
    stage: Stage, gate: Gate
) -> None:
    app = stage.app(unique(gate), heartbeat_interval=0.05)
    async with app.open() as opened:
        sent = await opened.producer.send(Work())
        async with opening.consumer(app.settings, app.registry, ()) as consumer:
            failure = await how_it_ends(consumer, gate, opened.database)
        own = await opened.database.fetchval(
            "SELECT status FROM mqjobs.job WHERE root_id = $1", sent.job_id
        )

    assert isinstance(failure, asyncpg.UndefinedTableError)
    assert JobStatus(own) is JobStatus.FAILED_REDELIVERED


async def how_it_ends(consumer: Consumer, gate: Gate, database: Pool) -> Exception | None:
    """What the consumer raises when the table of its heartbeat is gone, while a job runs."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run(asyncio.Event()))
            await gate.reached()
            await database.execute("ALTER TABLE mqjobs.consumer RENAME TO elsewhere")
    except ExceptionGroup as failures:
        [failure] = failures.exceptions
        return failure
    return None


async def test_a_consumer_that_is_told_to_stop_while_the_database_is_away_ends_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (
        (consumer_module, "LAST_WRITES"),
        (opening, "LAST_WRITES"),
        (postgres_inbox, "TIME_TO_END"),
    ):
        monkeypatch.setattr(module, name, timedelta(seconds=0.2))
    async with Wire.to(stage.database_url) as wire:
        far = Stage(through(wire, stage.database_url)).app(Hearing(), reap_interval=0.05)
        stop = asyncio.Event()
        async with (
            asyncio.timeout(15),
            opening.consumer(far.settings, far.registry, ()) as consumer,
        ):
            with capture_logs() as lines:
                async with asyncio.TaskGroup() as group:
                    group.create_task(consumer.run(stop))
                    await eventually(lambda: is_known(stage, consumer))
                    wire.tear()
                    await eventually(
                        lambda: any(line["event"] == "database_away" for line in lines)
                    )
                    stop.set()


async def test_a_consumer_that_is_told_to_stop_while_the_database_is_silent_ends_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody says that the connections are gone, and what is cancelled finds that out first."""
    for module, name in (
        (consumer_module, "LAST_WRITES"),
        (opening, "LAST_WRITES"),
        (postgres_inbox, "TIME_TO_END"),
    ):
        monkeypatch.setattr(module, name, timedelta(seconds=0.2))
    async with Wire.to(stage.database_url) as wire:
        far = Stage(through(wire, stage.database_url)).app(
            Hearing(),
            heartbeat_interval=0.05,
            dead_after=2,
            reap_interval=0.01,
            reconcile_interval=0.01,
            database_timeout=1,
        )
        stop = asyncio.Event()
        async with (
            asyncio.timeout(30),
            opening.consumer(far.settings, far.registry, ()) as consumer,
            asyncio.TaskGroup() as group,
        ):
            running = group.create_task(consumer.run(stop))
            await eventually(consumer.consuming.is_set)
            wire.is_silent = True
            stop.set()
            await asyncio.wait([running], timeout=15)
            has_ended = running.done()
            wire.mend()

    assert has_ended


async def test_a_consumer_that_is_told_to_stop_before_it_could_begin_ends_although_the_database_is_away(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (consumer_module, opening):
        monkeypatch.setattr(module, "LAST_WRITES", timedelta(seconds=0.2))
    async with Wire.to(stage.database_url) as wire:
        far = Stage(through(wire, stage.database_url)).app(Hearing())
        stop = asyncio.Event()
        async with (
            asyncio.timeout(15),
            opening.consumer(far.settings, far.registry, ()) as consumer,
        ):
            wire.tear()
            with capture_logs() as lines:
                async with asyncio.TaskGroup() as group:
                    group.create_task(consumer.run(stop))
                    await eventually(
                        lambda: any(line["event"] == "database_away" for line in lines)
                    )
                    stop.set()

        assert not consumer.consuming.is_set()


async def is_known(stage: Stage, consumer: Consumer) -> bool:
    connection = await asyncpg.connect(stage.database_url)
    try:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM mqjobs.consumer WHERE id = $1)",
                consumer.services.runs.consumer_id,
            )
        )
    finally:
        await connection.close()


async def code_with_a_task_that_failed() -> None:
    """As authors write it: the group fails, and they handle that."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
    except* ValueError:
        pass


async def failing() -> None:
    raise ValueError("no")


async def test_the_end_of_one_attempt_stops_no_other_also_where_a_task_of_its_own_had_failed_before(
    stage: Stage, gate: Gate
) -> None:
    """Python 3.11 counts the failure of such a task as a cancellation of its owner, for good."""

    async def interrupted(runner: JobRunner, job: RunningJob) -> bool:
        await code_with_a_task_that_failed()
        return await gate(runner, job)

    async with stage.running(unique(interrupted), waiting_at(gate), grace=60) as mq:
        root_id = await mq.start(Work())
        await mq.send(Note())
        await gate.reached(2)
        await mq.app.jobs.interrupt(root_id)
        await mq.attempts(1)
        await eventually(lambda: nothing_of(mq, "tests.work"), what="the acknowledgement")

        assert (await mq.child(root_id, "work")).status is JobStatus.CANCELLED
        assert (gate.stopped, gate.waiting) == (1, 1)
        gate.open()
        await mq.attempts(2)


async def test_code_that_ends_as_if_it_had_been_cancelled_stops_no_other(
    stage: Stage, gate: Gate
) -> None:
    async def act(message: Message[Any], context: Context) -> Result:
        await code_with_a_task_that_failed()
        raise asyncio.CancelledError

    async with stage.running(unique(gate), acting(act), grace=60) as mq:
        await mq.start(Work())
        await gate.reached()
        await mq.send(Note())
        await eventually(mq.app.dead.list, what="the dead letter")

        assert (gate.stopped, gate.waiting) == (0, 1)
        gate.open()
        await mq.attempts(2)


async def nothing_of(mq: Running, topic: str) -> bool:
    found = await mq.fetchval("SELECT count(*) FROM mqjobs.message WHERE topic = $1", topic)
    return bool(found == 0)


async def test_a_service_that_ends_without_a_word_is_missed_and_the_consumer_ends_with_it(
    stage: Stage, gate: Gate
) -> None:
    """A group of tasks takes no notice of one that a driver has cancelled."""
    app = stage.app(unique(gate))
    async with app.open() as opened:
        await opened.producer.send(Work())
        async with opening.consumer(app.settings, app.registry, ()) as consumer:
            with pytest.raises(RuntimeError, match="relay"):
                await ends_with_its_relay(consumer, gate)

    assert gate.stopped == 1


async def ends_with_its_relay(consumer: Consumer, gate: Gate) -> None:
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(consumer.run(stop))
            await gate.reached()
            [relay] = [each for each in asyncio.all_tasks() if each.get_name() == "mqjobs relay"]
            relay.cancel()
            await asyncio.wait([running], timeout=10)
            stop.set()
    except ExceptionGroup as failures:
        raise first_failure(failures) from None


async def test_a_consumer_is_forgotten_when_it_has_ended(stage: Stage) -> None:
    async with stage.running(Hearing()) as mq:
        assert len(await mq.fetch("SELECT FROM mqjobs.consumer")) == 1
        await mq.consumers[0].stopped()

        assert await mq.fetch("SELECT FROM mqjobs.consumer") == []


async def test_processors_that_hold_every_connection_they_can_get_do_not_silence_the_consumer(
    stage: Stage, gate: Gate
) -> None:
    async def act(message: Message[Any], context: Context) -> Result:
        async with context.database.acquire():
            await gate.passed()
        return Result.ACK

    async with stage.running(
        acting(act), concurrency=20, pool_size=4, heartbeat_interval=0.05
    ) as mq:
        for _ in range(20):
            await mq.send(Note())
        await gate.reached(4)
        before = await mq.fetchval("SELECT clock_timestamp()")

        await eventually(lambda: has_beaten_since(mq, before), what="a beat")

        gate.open()
        await mq.attempts(20)


async def has_beaten_since(mq: Running, moment: datetime) -> bool:
    beat: datetime = await mq.fetchval("SELECT heartbeat_at FROM mqjobs.consumer")
    return beat > moment
