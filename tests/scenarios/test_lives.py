"""How a delivery's life ends: work that lasts long, that kills its consumers, and that will not stop."""

import asyncio
from typing import Any
from uuid import uuid4

from structlog.testing import capture_logs

from mqjobs.model.errors import LeaseLost
from mqjobs.model.job import Job
from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.processor import Processor
from mqjobs.processing.running_job import RunningJob
from mqjobs.store import consumers
from tests.support.consuming import Running, Stage
from tests.support.processors import Gate, acting, delayed, splitting, unique
from tests.support.topics import HastyPiece, Note, Work
from tests.support.waiting import eventually

SUCCESS, FAILED, CANCELLED = JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED
REDELIVERED = JobStatus.FAILED_REDELIVERED


def waiting_at(gate: Gate) -> Processor:
    """Acts on notes without a job, and waits at the gate."""

    async def act(message: Message[Note], context: Context) -> Result:
        await gate.passed()
        return Result.ACK

    return acting(act)


class Stubborn:
    """A callback that catches whatever stops it and goes on until it is let go."""

    def __init__(self) -> None:
        self.runs: list[RunningJob] = []
        self.caught = 0
        self._let_go = asyncio.Event()

    async def __call__(self, runner: JobRunner, job: RunningJob) -> bool:
        self.runs.append(job)
        await self.stay()
        return True

    async def stay(self) -> None:
        while not self._let_go.is_set():
            try:
                await self._let_go.wait()
            except asyncio.CancelledError:
                self.caught += 1

    def let_go(self) -> None:
        self._let_go.set()

    async def reached(self) -> None:
        await eventually(lambda: self.runs, what="a run that will not stop")


async def held(mq: Running) -> list[Any]:
    """The messages that are held."""
    return list(await mq.fetch("SELECT * FROM mqjobs.message WHERE is_held"))


async def has_held(mq: Running, count: int = 1) -> bool:
    return len(await held(mq)) == count


async def nothing_is_left(mq: Running) -> bool:
    return not await mq.fetchval("SELECT count(*) FROM mqjobs.message")


# ---------------------------------------------------------------------------------------------------------- long work


async def test_a_message_that_is_in_process_for_long_is_handed_over_and_its_code_runs_once(
    either: Stage,
) -> None:
    gate = Gate()
    async with either.running(waiting_at(gate), consumers=2, hand_over_after=0.2) as mq:
        sent = await mq.send(Note())
        await gate.reached()
        await eventually(lambda: has_held(mq))
        [row] = await held(mq)
        await eventually(lambda: is_acknowledged(mq, either))
        gate.open()
        attempts = await mq.attempts(1)
        await eventually(lambda: nothing_is_left(mq))

    assert (row["message_id"], row["attempt"], row["crashes"]) == (sent.message_id, 1, 0)
    assert row["consumer_id"] in {each.id for each in mq.consumers}
    assert [each.result for each in attempts] == [Result.ACK]
    assert gate.most_at_once == 1


async def is_acknowledged(mq: Running, stage: Stage) -> bool:
    """Whether the broker has nothing of it any more; over PostgreSQL: whether one row is left of two."""
    if stage.broker_url is None:
        return bool(await mq.fetchval("SELECT count(*) FROM mqjobs.message") == 1)
    [state] = await mq.app.transport.queue_states([stage.queue()])
    return not state.ready and not state.unacknowledged


async def test_a_long_job_is_handed_over_and_ends_as_it_would(either: Stage) -> None:
    gate = Gate()
    async with either.running(unique(gate), hand_over_after=0.2) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await eventually(lambda: has_held(mq))
        gate.open()
        root = await mq.end(root_id)
        await eventually(lambda: nothing_is_left(mq))

    assert (root.status, len(gate.runs)) == (SUCCESS, 1)


async def test_a_long_message_that_is_rejected_requeued_or_given_back_is_held_no_longer(
    stage: Stage,
) -> None:
    gate = Gate()
    results = [Result.REQUEUE, Result.REJECT]

    async def act(message: Message[Note], context: Context) -> Result:
        await gate.passed()
        return results[message.attempt - 1]

    pace: dict[str, Any] = {"hand_over_after": 0.1, "redelivery_delay": 0}
    async with stage.running(acting(act), **pace) as mq:
        sent = await mq.send(Note())
        await gate.reached()
        await eventually(lambda: has_held(mq))
        gate.open()
        letter = await mq.dead_letter()
        await mq.settled()
        left = await mq.outbox(Note)

    assert (letter.envelope.id, letter.envelope.attempt) == (sent.message_id, 2)
    assert left == []


async def test_a_long_message_of_a_consumer_that_stops_comes_again_and_counts_no_crash(
    stage: Stage,
) -> None:
    gate = Gate()
    async with stage.running(waiting_at(gate), hand_over_after=0.1, grace=0.01) as mq:
        await mq.send(Note())
        await gate.reached()
        await eventually(lambda: has_held(mq))
        await mq.consumers[0].stopped()
        [row] = await mq.fetch("SELECT * FROM mqjobs.message")
        gate.open()
        await mq.start_consumer()
        await mq.attempts(2)

    assert (row["is_held"], row["crashes"], row["attempt"]) == (False, 0, 1)


async def test_a_long_message_of_a_consumer_that_died_comes_again(either: Stage) -> None:
    gate = Gate()
    pace: dict[str, Any] = {"hand_over_after": 0.1, "reap_interval": 0.05}
    async with either.running(waiting_at(gate), **pace) as mq:
        await mq.send(Note())
        await gate.reached()
        await eventually(lambda: has_held(mq))
        await mq.start_consumer()
        await mq.vanish(mq.consumers[0])
        # The first one is dead to others only, and takes as well: what comes to it there it parks for 5 s.
        await gate.reached(2, within=60)
        gate.open()
        await mq.attempts(2)
        await eventually(lambda: nothing_is_left(mq))


# ------------------------------------------------------------------------------------------------------------ crashes


async def test_a_message_under_which_consumers_die_again_and_again_is_a_dead_letter(
    stage: Stage,
) -> None:
    gate = Gate()
    async with stage.running(waiting_at(gate), consumers=0, hand_over_after=0.1) as mq:
        sent = await mq.send(Note())
        for _ in range(3):
            await mq.start_consumer()
            await mq.hasten(sent.message_id)
            await gate.reached()
            await eventually(lambda: has_held(mq))
            await eventually(lambda: is_acknowledged(mq, stage))
            await mq.vanish(mq.consumers[-1])
            await reap(mq)
            await mq.consumers[-1].stopped()
        await mq.start_consumer()
        await mq.hasten(sent.message_id)
        letter = await mq.dead_letter()

    assert letter.reason == "crashed"
    assert letter.detail == "3 consumers died while they acted on it"
    assert len(mq.arrived) == 3


async def reap(mq: Running) -> None:
    """One pass of the reaper."""
    async with mq.transaction() as connection:
        await consumers.reap(connection, crashes_allowed=3)


async def test_what_the_broker_delivers_again_is_held_while_it_runs(amqp_stage: Stage) -> None:
    """It may have killed a consumer: whether it does now, PostgreSQL remembers."""
    gate = Gate()
    async with amqp_stage.running(waiting_at(gate)) as mq:
        await mq.consumers[0].stopped()
        await mq.send(Note())
        queue = amqp_stage.queue()
        opened = mq.app.transport.inbox([queue], prefetch=1, consumer_id=uuid4())
        async with asyncio.timeout(15), opened as inbox:
            async for _ in inbox.deliveries():
                break
        await mq.start_consumer()
        await gate.reached()
        rows = await held(mq)
        gate.open()
        await mq.attempts(1)
        await eventually(lambda: nothing_is_left(mq))

    assert [row["crashes"] for row in rows] == [0]


async def test_a_message_that_comes_for_the_first_time_is_not_held(either: Stage) -> None:
    gate = Gate()
    async with either.running(waiting_at(gate)) as mq:
        await mq.send(Note())
        await gate.reached()
        rows = await held(mq)
        gate.open()
        await mq.attempts(1)

    assert rows == []


# --------------------------------------------------------------------------------------------------- what will not stop


async def test_code_that_goes_on_after_its_interrupt_loses_its_job_and_what_it_writes_is_refused(
    either: Stage,
) -> None:
    stubborn = Stubborn()
    with capture_logs() as lines:
        async with either.running(unique(stubborn), stop_grace=0.1) as mq:
            root_id = await mq.start(Work())
            await stubborn.reached()
            await mq.app.jobs.interrupt(root_id)
            root, own = await mq.end(root_id), await mq.child(root_id, "work")
            await eventually(lambda: stubborn.caught == 2)
            stubborn.let_go()
            [attempt] = await mq.attempts(1)
            after = await mq.child(root_id, "work")

    assert (root.status, own.status, own.lease) == (CANCELLED, CANCELLED, 2)
    assert isinstance(attempt.error, LeaseLost)
    assert after == own
    [warning] = [line for line in lines if line["event"] == "code_ignores_stop"]
    assert warning["job_id"] == own.id


async def test_its_slot_stays_taken_until_it_really_ends(stage: Stage) -> None:
    stubborn = Stubborn()
    async with stage.running(unique(stubborn), stop_grace=0.1, concurrency=1) as mq:
        root_id = await mq.start(Work())
        await stubborn.reached()
        await mq.app.jobs.interrupt(root_id)
        await mq.end(root_id)
        other_id = await mq.start(Work(job="other"))
        await eventually(lambda: stubborn.caught == 2)
        between = await mq.job(other_id)
        stubborn.let_go()
        other = await mq.end(other_id)

    assert (between.status, other.status) == (JobStatus.NEW, SUCCESS)


async def test_code_that_goes_on_after_its_timeout_has_failed_without_it(stage: Stage) -> None:
    stubborn = Stubborn()
    split = unique(splitting("one", start=HastyPiece()))
    async with stage.running(split, delayed(stubborn, HastyPiece), stop_grace=0.1) as mq:
        root_id = await mq.start(Work())
        await stubborn.reached()
        child = await mq.end(stubborn.runs[0].id)
        root = await mq.end(root_id)
        stubborn.let_go()
        letter = await mq.dead_letter()

    assert (child.status, root.status) == (FAILED, FAILED)
    assert "TimeoutError" in (child.error or "")
    assert letter.reason == "rejected"


async def test_code_that_goes_on_while_its_consumer_leaves_is_left_behind_and_its_job_runs_elsewhere(
    either: Stage,
) -> None:
    stubborn = Stubborn()
    async with either.running(unique(stubborn), grace=0.01, stop_grace=0.1) as mq:
        root_id = await mq.start(Work())
        await stubborn.reached()
        first = mq.consumers[0]
        first.stop.set()
        await abandoned(mq)
        left = await left_by(mq, root_id)
        await mq.start_consumer()
        await eventually(lambda: len(stubborn.runs) == 2)
        stubborn.let_go()
        root = await mq.end(root_id)
        await eventually(first.task.done)

    assert (left.status, left.lease, left.attempt) == (REDELIVERED, 2, 0)
    assert root.status is SUCCESS
    assert [run.lease for run in stubborn.runs] == [1, 3]


async def abandoned(mq: Running) -> None:
    """The first consumer has given back all that it had, and nobody knows it any more."""
    await eventually(mq.consumers[0].consumer.abandoned.is_set)
    assert not await mq.fetchval("SELECT count(*) FROM mqjobs.consumer")


async def left_by(mq: Running, root_id: int) -> Job:
    """The own child as the first consumer has left it."""
    return await mq.child(root_id, "work")


async def test_a_message_without_a_job_is_left_behind_too(either: Stage) -> None:
    stubborn = Stubborn()

    async def act(message: Message[Note], context: Context) -> Result:
        await stubborn.stay()
        return Result.ACK

    async with either.running(acting(act), grace=0.01, stop_grace=0.1) as mq:
        sent = await mq.send(Note())
        await eventually(lambda: mq.arrived)
        mq.consumers[0].stop.set()
        await eventually(mq.consumers[0].consumer.abandoned.is_set)
        await mq.start_consumer()
        stubborn.let_go()
        await mq.attempts(2, sent.message_id)


async def test_a_consumer_that_is_to_stop_at_once_waits_for_no_grace(either: Stage) -> None:
    gate, notes = Gate(), Gate()
    processors = unique(gate), waiting_at(notes)
    async with either.running(*processors, grace=3600, stop_grace=3600) as mq:
        root_id = await mq.start(Work())
        await mq.send(Note())
        await gate.reached()
        await notes.reached()
        first = mq.consumers[0]
        first.stop.set()
        first.at_once.set()
        await first.stopped()
        own = await mq.child(root_id, "work")
        gate.open()
        notes.open()
        await mq.start_consumer()
        root = await mq.end(root_id)
        await mq.attempts(4)

    assert (own.status, own.attempt, gate.stopped) == (REDELIVERED, 0, 1)
    assert root.status is SUCCESS


async def test_a_consumer_that_is_to_stop_at_once_leaves_behind_what_will_not_stop(
    stage: Stage,
) -> None:
    stubborn = Stubborn()
    async with stage.running(unique(stubborn), grace=3600, stop_grace=3600) as mq:
        root_id = await mq.start(Work())
        await stubborn.reached()
        mq.consumers[0].stop.set()
        mq.consumers[0].at_once.set()
        await abandoned(mq)
        own = await left_by(mq, root_id)
        stubborn.let_go()

    assert own.status is REDELIVERED
