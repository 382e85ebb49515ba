"""Section 10: how consumers stop, what they give back, what becomes of the work of those that die."""

import asyncio
from typing import Any

import pytest

from mqjobs.app.opening import consumer
from mqjobs.model.errors import ConfigurationError
from mqjobs.model.job import Job
from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from mqjobs.store import consumers
from mqjobs.store.consumers import Reaped
from tests.support.consuming import Running, Stage
from tests.support.processors import (
    LATER,
    Gate,
    Hearing,
    acting,
    delayed,
    never,
    raising,
    splitting,
    unique,
)
from tests.support.topics import Note, Piece, SteadyPiece, Work
from tests.support.waiting import eventually

SUCCESS, FAILED, RUNNING = JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.RUNNING
REDELIVERED = JobStatus.FAILED_REDELIVERED


async def consumer_ids(mq: Running) -> list[Any]:
    """The consumers that the database knows of."""
    return [row["id"] for row in await mq.fetch("SELECT id FROM mqjobs.consumer")]


# -------------------------------------------------------------------------------------------------------- it is stopped


async def test_a_consumer_that_is_stopped_lets_running_work_end_within_the_grace(
    either: Stage,
) -> None:
    gate = Gate()
    async with either.running(unique(gate), grace=30) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        [stopping] = mq.consumers
        stopping.stop.set()
        gate.open()
        await stopping.stopped()
        root = await mq.job(root_id)

    assert (root.status, gate.stopped) == (SUCCESS, 0)


async def test_a_consumer_that_is_stopped_takes_no_more_messages(either: Stage) -> None:
    gate, notes = Gate(), Hearing()

    async def act(message: Message[Note], context: Context) -> Result:
        await gate.passed()
        return await notes.process(message, context)

    async with either.running(acting(act), grace=30, concurrency=1) as mq:
        await mq.send(Note(text="running"))
        await gate.reached()
        for number in range(3):
            await mq.send(Note(text=f"waiting {number}"))
        mq.consumers[0].stop.set()
        await mq.send(Note(text="late"))
        gate.open()
        await mq.consumers[0].stopped()
        done = list(notes.texts)
        await mq.start_consumer()
        await eventually(lambda: len(notes.texts) == 5)

    assert done == ["running"]
    assert sorted(notes.texts[1:]) == ["late", "waiting 0", "waiting 1", "waiting 2"]


async def test_work_beyond_the_grace_is_given_back_and_runs_again_elsewhere(
    either: Stage,
) -> None:
    gate = Gate()
    async with either.running(unique(gate), grace=0.05) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.consumers[0].stopped()
        own = await mq.child(root_id, "work")
        gate.open()
        await mq.start_consumer()
        root = await mq.end(root_id)
        again = await mq.child(root_id, "work")

    assert (own.status, own.attempt, own.stopped_at) == (REDELIVERED, 0, None)
    assert (root.status, again.attempt, again.lease) == (SUCCESS, 1, 2)
    assert [run.consumer_id for run in gate.runs] == [each.id for each in mq.consumers]


async def test_work_that_is_given_back_uses_up_no_attempt(stage: Stage) -> None:
    gate = Gate()
    outcome = raising(ValueError("one"), ValueError("two"))

    async def piece(runner: JobRunner, job: RunningJob) -> bool:
        await gate(runner, job)
        return await outcome(runner, job)

    split = unique(splitting("one", start=SteadyPiece()))
    async with stage.running(split, delayed(piece, SteadyPiece), grace=0.01) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.consumers[0].stopped()
        gate.open()
        await mq.start_consumer()
        root = await mq.end(root_id)
        child = await mq.child(root_id, "one")

    assert (root.status, child.attempt, len(gate.runs)) == (SUCCESS, 3, 4)


async def test_a_message_without_a_job_that_is_beyond_the_grace_comes_again(
    either: Stage,
) -> None:
    gate = Gate()

    async def act(message: Message[Note], context: Context) -> Result:
        await gate.passed()
        return Result.ACK

    async with either.running(acting(act), grace=0.05) as mq:
        sent = await mq.send(Note())
        await gate.reached()
        await mq.consumers[0].stopped()
        gate.open()
        await mq.start_consumer()
        attempts = await mq.attempts(2, sent.message_id)

    assert [each.result for each in attempts] == [None, Result.ACK]
    assert [each.message.attempt for each in attempts] == [1, 1]


async def test_a_consumer_that_is_cut_off_at_once_loses_nothing(either: Stage) -> None:
    gate = Gate()
    async with either.running(unique(gate), grace=60, reap_interval=0.05) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        first = mq.consumers[0]
        first.stop.set()
        first.task.cancel()
        await eventually(first.task.done)
        gate.open()
        await mq.start_consumer()
        root = await mq.end(root_id)

    assert (root.status, gate.stopped, len(gate.runs)) == (SUCCESS, 1, 2)


async def test_a_consumer_that_has_stopped_is_known_no_longer(stage: Stage) -> None:
    async with stage.running(unique(never), consumers=2) as mq:
        before = await consumer_ids(mq)
        await mq.consumers[0].stopped()
        after = await consumer_ids(mq)

    assert set(before) == {each.id for each in mq.consumers}
    assert after == [mq.consumers[1].id]


async def test_operators_see_who_lives_and_what_each_one_runs(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(gate), consumers=2) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.vanish(mq.consumers[1])
        reports = {each.id: each for each in await mq.app.jobs.consumers()}
        own = await mq.child(root_id, "work")

    runs = reports[mq.consumer_of(own).id]
    assert [job.id for job in runs.jobs] == [own.id]
    assert [reports[each.id].is_alive for each in mq.consumers] == [True, False]


# -------------------------------------------------------------------------------------------------------------- it dies


async def test_the_job_of_a_consumer_that_died_is_run_again_by_another(either: Stage) -> None:
    gate = Gate()
    processors = unique(splitting("one")), delayed(gate)
    async with either.running(*processors, reap_interval=0.05, watch_interval=600) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.start_consumer()
        await mq.vanish(mq.consumers[0])
        await eventually(lambda: len(gate.runs) == 2)
        gate.open()
        root, child = await mq.end(root_id), await mq.child(root_id, "one")

    assert (root.status, child.status) == (SUCCESS, SUCCESS)
    assert (child.lease, [run.lease for run in gate.runs]) == (3, [1, 3])


async def test_the_reaper_puts_a_job_of_a_dead_consumer_back_with_its_message(
    stage: Stage,
) -> None:
    split = unique(splitting("one", delay=LATER))
    async with stage.running(split, delayed(never)) as mq:
        child = await waiting_child(mq)
        await mq.run_elsewhere(child.id)
        await mq.execute("DELETE FROM mqjobs.message WHERE job_id = $1", child.id)
        await mq.consumers[0].stopped()
        await reap(mq)
        after = await mq.job(child.id)
        [message] = await mq.outbox(Piece)

    assert (after.status, after.lease, after.attempt) == (REDELIVERED, 2, 0)
    assert "the consumer that ran it died (1 of 3 times allowed)" in (after.error or "")
    assert (message["job_id"], message["attempt"]) == (child.id, 1)


async def waiting_child(mq: Running) -> Job:
    """A delayed child that has not started; its root's own child has ended."""
    root_id = await mq.start(Work())
    child = await mq.child_when_there(root_id, "one")
    await mq.until((await mq.child(root_id, "work")).id, SUCCESS)
    await mq.settled()
    return child


async def reap(mq: Running, *, crashes_allowed: int = 3) -> Reaped:
    """One pass of the reaper."""
    async with mq.transaction() as connection:
        return await consumers.reap(connection, crashes_allowed=crashes_allowed)


async def test_the_reaper_leaves_the_jobs_of_live_consumers(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        reaped = await reap(mq)
        own = await mq.child(root_id, "work")

    assert reaped == Reaped(consumers=0, redelivered=0, failed=0, cancelled=0)
    assert (own.status, own.lease) == (RUNNING, 1)


async def test_two_reapers_at_once_put_a_job_back_once(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        child = await waiting_child(mq)
        await mq.run_elsewhere(child.id)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(reap(mq)) for _ in range(4)]
        after = await mq.job(child.id)

    assert sorted(task.result().redelivered for task in tasks) == [0, 0, 0, 1]
    assert after.lease == 2


async def test_a_job_under_which_consumers_die_again_and_again_has_failed_and_says_so(
    stage: Stage,
) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        child = await waiting_child(mq)
        for _ in range(2):
            await mq.run_elsewhere(child.id)
            await reap(mq)
            await mq.execute("DELETE FROM mqjobs.message WHERE job_id = $1", child.id)
        await mq.run_elsewhere(child.id)
        last = await reap(mq)
        child, root = await mq.job(child.id), await mq.end(child.root_id or 0)

    assert (child.status, root.status, last.failed) == (FAILED, FAILED, 1)
    assert "the consumer that ran it died (3 of 3 times allowed)" in (child.error or "")


async def test_a_job_that_no_message_can_start_again_has_failed_when_its_consumer_died(
    stage: Stage,
) -> None:
    async with stage.running(unique(never)) as mq:
        sent = await mq.send(Work(), delay=LATER)
        own = await mq.child(sent.job_id or 0, "work")
        await mq.run_elsewhere(own.id)
        await mq.execute("UPDATE mqjobs.job SET topic = NULL WHERE id = $1", own.id)
        await reap(mq)
        root = await mq.end(sent.job_id or 0)

    assert root.status is FAILED


async def test_messages_in_the_hands_of_a_dead_consumer_are_free_again(stage: Stage) -> None:
    gate = Gate()

    async def act(message: Message[Note], context: Context) -> Result:
        await gate.passed()
        return Result.ACK

    async with stage.running(acting(act), concurrency=1) as mq:
        for number in range(2):
            await mq.send(Note(text=str(number)))
        await gate.reached()
        await eventually(lambda: held(mq, 2))
        await mq.vanish(mq.consumers[0])
        await reap(mq)
        rows = await mq.outbox(Note)
        known = await consumer_ids(mq)

    assert [row["consumer_id"] for row in rows] == [None, None]
    assert known == []


async def held(mq: Running, count: int) -> bool:
    """Whether so many notes are in the hands of consumers."""
    return sum(row["consumer_id"] is not None for row in await mq.outbox(Note)) == count


async def test_a_consumer_that_finds_itself_declared_dead_stops_its_code_and_begins_anew(
    stage: Stage,
) -> None:
    gate = Gate()
    pace: dict[str, Any] = {"heartbeat_interval": 0.05, "watch_interval": 600}
    async with stage.running(unique(gate), **pace) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.execute("DELETE FROM mqjobs.consumer")
        await eventually(lambda: gate.stopped == 1)
        await eventually(lambda: consumer_ids(mq))
        root = await mq.job(root_id)
        gate.open()
        other = await mq.end(await mq.start(Work(job="another")))

    assert (root.status, other.status) == (RUNNING, SUCCESS)


async def test_heartbeats_keep_a_consumer_alive(stage: Stage) -> None:
    gate = Gate()
    pace: dict[str, Any] = {"heartbeat_interval": 0.05, "dead_after": 3, "reap_interval": 0.05}
    async with stage.running(unique(gate), **pace) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        alive = "SELECT alive_until > started_at + interval '4 s' FROM mqjobs.consumer"
        await eventually(lambda: mq.fetchval(alive), what="a life longer than promised at first")
        gate.open()
        root = await mq.end(root_id)

    assert (root.status, len(gate.runs), gate.runs[0].lease) == (SUCCESS, 1, 1)


# ------------------------------------------------------------------------------------------------------------- bounds


async def test_no_more_processors_run_at_once_than_the_concurrency(either: Stage) -> None:
    gate = Gate()

    async def act(message: Message[Note], context: Context) -> Result:
        await gate.passed()
        return Result.ACK

    async with either.running(acting(act), concurrency=3, prefetch=20) as mq:
        await mq.app.producer.send_many(Note(text=str(number)) for number in range(12))
        await gate.reached(3)
        await eventually(lambda: is_empty(mq, either.queue()))
        gate.open()
        await mq.attempts(12)

    assert gate.most_at_once == 3


async def is_empty(mq: Running, queue: str) -> bool:
    """Whether no message waits in the queue: consumers have all of them."""
    [state] = await mq.app.transport.queue_states([queue])
    return state.ready == 0


async def test_a_consumer_holds_no_more_messages_than_the_prefetch(stage: Stage) -> None:
    gate, most = Gate(), list[int]()

    async def act(message: Message[Note], context: Context) -> Result:
        await gate.passed()
        most.append(await mq.fetchval("SELECT count(*) FROM mqjobs.message WHERE deliveries > 0"))
        return Result.ACK

    async with stage.running(acting(act), concurrency=2, prefetch=4) as mq:
        await mq.app.producer.send_many(Note(text=str(number)) for number in range(12))
        await gate.reached(2)
        await eventually(lambda: held(mq, 4))
        gate.open()
        await mq.attempts(12)

    assert max(most) <= 4


async def test_a_consumer_of_some_queues_leaves_the_others(either: Stage) -> None:
    mail, archive = Hearing(queue="mail"), Hearing(queue="archive")
    async with either.running(mail, archive, consumers=0) as mq:
        await mq.start_consumer("mail")
        await mq.send(Note(text="to both"))
        await eventually(lambda: mail.texts == ["to both"])
        before = list(archive.texts)
        await mq.start_consumer("archive")
        await eventually(lambda: archive.texts == ["to both"])

    assert before == []


async def test_a_queue_that_the_app_does_not_have_is_refused_at_start(stage: Stage) -> None:
    app = stage.app(Hearing(), Hearing(Piece, queue="pieces"))
    with pytest.raises(ConfigurationError, match="from queue peaces; there are default, pieces"):
        async with consumer(app.settings, app.registry, [], ["peaces"]):
            raise AssertionError("it started")


async def test_an_app_without_processors_is_refused_at_start(stage: Stage) -> None:
    app = stage.app()
    with pytest.raises(ConfigurationError, match="the app has no processors"):
        async with consumer(app.settings, app.registry, []):
            raise AssertionError("it started")


async def test_children_are_spread_over_the_consumers_that_there_are(either: Stage) -> None:
    gate = Gate()
    names = [f"piece {number}" for number in range(8)]
    pace: dict[str, Any] = {"concurrency": 4, "prefetch": 4}
    processors = unique(splitting(*names)), delayed(gate)
    async with either.running(*processors, consumers=2, **pace) as mq:
        root_id = await mq.start(Work())
        await gate.reached(8)
        gate.open()
        root = await mq.end(root_id)

    assert (root.status, root.children_success) == (SUCCESS, 9)
    assert {run.consumer_id for run in gate.runs} == {each.id for each in mq.consumers}
