"""Section 7: what an interrupt does to a child, to a root, and to a name."""

import asyncio

import pytest

from mqjobs.model.errors import Redeliver, UnknownJob
from mqjobs.model.interruption import Interruption
from mqjobs.model.job import Job
from mqjobs.model.message import Outgoing
from mqjobs.model.status import JobStatus
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from tests.support.consuming import Running, Stage
from tests.support.processors import (
    LATER,
    Gate,
    delayed,
    never,
    raising,
    returning,
    splitting,
    unique,
)
from tests.support.topics import Piece, SteadyPiece, Work
from tests.support.waiting import eventually

CANCELLED, SUCCESS = JobStatus.CANCELLED, JobStatus.SUCCESS


async def started(mq: Running, name: str = "one") -> tuple[int, Job]:
    """A new root and its delayed child of this name."""
    root_id = await mq.start(Work())
    return root_id, await mq.child_when_there(root_id, name)


# ------------------------------------------------------------------------------------------------------------ a child


async def test_a_child_that_has_not_started_is_cancelled_and_never_will(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        _, child = await started(mq)
        said = await mq.app.jobs.interrupt(child.id)
        await mq.deliver_child(child.id)
        await mq.attempts(2)
        child = await mq.job(child.id)

    assert (said, child.status, child.started_at) == (Interruption.CANCELLED, CANCELLED, None)


async def test_a_child_that_runs_has_its_coroutine_cancelled_and_is_cancelled(
    either: Stage,
) -> None:
    gate = Gate()
    async with either.running(unique(splitting("one")), delayed(gate)) as mq:
        root_id, child = await started(mq)
        await gate.reached()
        said = await mq.app.jobs.interrupt(child.id)
        root = await mq.end(root_id)
        child = await mq.job(child.id)
        letters = await mq.app.dead.list()

    assert (said, gate.stopped) == (Interruption.STOPPING, 1)
    assert (child.status, child.interrupted, root.status) == (CANCELLED, True, CANCELLED)
    assert letters == []


async def test_a_child_that_runs_in_another_consumer_is_stopped_there(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(splitting("one")), delayed(gate), consumers=2) as mq:
        _, child = await started(mq)
        await gate.reached()
        await mq.app.jobs.interrupt(child.id)
        child = await mq.end(child.id)

    assert (child.status, gate.stopped) == (CANCELLED, 1)


async def test_an_interrupted_child_is_cancelled_whatever_its_code_raises_while_it_stops(
    stage: Stage,
) -> None:
    async def untidy(runner: JobRunner, job: RunningJob) -> bool:
        try:
            return await gate(runner, job)
        except asyncio.CancelledError:
            raise ValueError("could not tidy up") from None

    gate = Gate()
    split = unique(splitting("one", start=SteadyPiece()))
    async with stage.running(split, delayed(untidy, SteadyPiece)) as mq:
        _, child = await started(mq)
        await gate.reached()
        await mq.app.jobs.interrupt(child.id)
        child = await mq.end(child.id)

    assert (child.status, child.attempt) == (CANCELLED, 1)


async def test_the_other_children_of_an_interrupted_child_go_on(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(splitting("one", "two")), delayed(gate)) as mq:
        root_id, child = await started(mq, "two")
        await gate.reached(2)
        await mq.app.jobs.interrupt(child.id)
        await mq.end(child.id)
        between = await mq.job(root_id)
        gate.open()
        root = await mq.end(root_id)
        other = await mq.child(root_id, "one")

    assert (between.status, other.status, root.status) == (JobStatus.RUNNING, SUCCESS, CANCELLED)


async def test_an_interrupted_child_that_asks_to_run_again_is_cancelled(stage: Stage) -> None:
    async def again(runner: JobRunner, job: RunningJob) -> bool:
        await mq.app.jobs.interrupt(job.id)
        raise Redeliver(0)

    processors = unique(splitting("one")), delayed(again)
    async with stage.running(*processors, watch_interval=600) as mq:
        _, child = await started(mq)
        child = await mq.end(child.id)
        await mq.settled()
        messages = await mq.outbox(Piece)

    assert (child.status, child.attempt, messages) == (CANCELLED, 1, [])


# ------------------------------------------------------------------------------------------------------------- a root


async def test_of_an_interrupted_root_running_children_finish_and_waiting_ones_are_cancelled(
    either: Stage,
) -> None:
    gate = Gate()

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.create_delayed("running", Piece())
        await runner.create_delayed("waiting", Outgoing(Piece(), delay=LATER))
        return True

    async with either.running(unique(split), delayed(gate)) as mq:
        root_id, _ = await started(mq, "waiting")
        await gate.reached()
        await mq.until((await mq.child(root_id, "work")).id, SUCCESS)
        said = await mq.app.jobs.interrupt(root_id)
        between, children = await mq.job(root_id), await mq.children(root_id)
        gate.open()
        root = await mq.end(root_id)
        running = await mq.child(root_id, "running")

    assert (said, children["waiting"].status) == (Interruption.STOPPING, CANCELLED)
    assert (between.status, between.interrupted) == (JobStatus.RUNNING, True)
    assert (running.status, root.status, gate.stopped) == (SUCCESS, CANCELLED, 0)


async def test_a_child_that_waits_for_its_next_try_is_cancelled_with_its_root(
    stage: Stage,
) -> None:
    async with stage.running(unique(splitting("one")), delayed(raising(Redeliver(LATER)))) as mq:
        root_id, child = await started(mq)
        await mq.until(child.id, JobStatus.FAILED_REDELIVERED)
        await mq.until((await mq.child(root_id, "work")).id, SUCCESS)
        said = await mq.app.jobs.interrupt(root_id)
        child, root = await mq.job(child.id), await mq.job(root_id)

    assert said is Interruption.CANCELLED
    assert (child.status, root.status) == (CANCELLED, CANCELLED)


async def test_a_running_child_of_an_interrupted_root_is_not_tried_again(stage: Stage) -> None:
    gate = Gate()

    async def piece(runner: JobRunner, job: RunningJob) -> bool:
        await gate(runner, job)
        raise Redeliver(0)

    async with stage.running(unique(splitting("one")), delayed(piece)) as mq:
        root_id, child = await started(mq)
        await gate.reached()
        await mq.app.jobs.interrupt(root_id)
        gate.open()
        child, root = await mq.end(child.id), await mq.end(root_id)

    assert (child.status, root.status, len(gate.runs)) == (CANCELLED, CANCELLED, 1)


async def test_a_running_child_of_an_interrupted_root_gets_its_own_status_also_if_it_fails(
    stage: Stage,
) -> None:
    gate = Gate()

    async def piece(runner: JobRunner, job: RunningJob) -> bool:
        await gate(runner, job)
        return False

    async with stage.running(unique(splitting("one")), delayed(piece)) as mq:
        root_id, child = await started(mq)
        await gate.reached()
        await mq.app.jobs.interrupt(root_id)
        gate.open()
        root, child = await mq.end(root_id), await mq.end(child.id)

    assert (child.status, root.status) == (JobStatus.FAILED, CANCELLED)


@pytest.mark.parametrize("many", [False, True])
async def test_children_created_after_the_interrupt_of_their_root_are_cancelled_from_the_start(
    stage: Stage, many: bool
) -> None:
    gate, created = Gate(), list[Job | int]()

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.create_delayed("before", Outgoing(Piece(), delay=LATER))
        await gate.passed()
        if many:
            created.append(await runner.create_delayed_many([("after", Piece())]))
        else:
            created.append(await runner.create_delayed("after", Piece()))
        return True

    async with stage.running(unique(split), delayed(never)) as mq:
        root_id, _ = await started(mq, "before")
        await gate.reached()
        said = await mq.app.jobs.interrupt(root_id)
        gate.open()
        root, children = await mq.end(root_id), await mq.children(root_id)
        await mq.settled()

    assert (said, len(created)) == (Interruption.STOPPING, 1)
    assert (children["before"].status, children["after"].status) == (CANCELLED, CANCELLED)
    assert (children["work"].status, root.status) == (SUCCESS, CANCELLED)


async def test_a_root_is_cancelled_when_the_last_of_its_children_has_ended(stage: Stage) -> None:
    gates = [Gate(), Gate()]

    async def piece(runner: JobRunner, job: RunningJob) -> bool:
        return await gates[job.name == "two"](runner, job)

    async with stage.running(unique(splitting("one", "two")), delayed(piece)) as mq:
        root_id, _ = await started(mq, "two")
        await gates[0].reached()
        await gates[1].reached()
        await mq.app.jobs.interrupt(root_id)
        gates[0].open()
        await mq.end((await mq.child(root_id, "one")).id)
        between = await mq.job(root_id)
        gates[1].open()
        root = await mq.end(root_id)

    assert (between.status, root.status) == (JobStatus.RUNNING, CANCELLED)


async def test_a_single_job_is_stopped_like_a_child(either: Stage) -> None:
    gate = Gate()
    async with either.running(unique(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        said = await mq.app.jobs.interrupt(root_id)
        root = await mq.end(root_id)
        own = await mq.child(root_id, "work")

    assert (said, gate.stopped) == (Interruption.STOPPING, 1)
    assert (root.status, own.status) == (CANCELLED, CANCELLED)


async def test_a_root_that_nobody_has_started_is_cancelled_and_its_message_starts_nothing(
    stage: Stage,
) -> None:
    async with stage.running(unique(never)) as mq:
        sent = await mq.send(Work(), delay=LATER)
        said = await mq.app.jobs.interrupt(sent.job_id or 0)
        await mq.hasten(sent.message_id)
        await mq.attempts(1)
        await mq.settled()
        root = await mq.job(sent.job_id or 0)
        letters = await mq.app.dead.list()

    assert (said, root.status, letters) == (Interruption.CANCELLED, CANCELLED, [])


# ---------------------------------------------------------------------------------------------------------- the name


async def test_the_name_is_free_only_when_nothing_of_the_old_job_can_still_run(
    stage: Stage,
) -> None:
    stopping = Gate()

    async def slow_to_stop(runner: JobRunner, job: RunningJob) -> bool:
        try:
            return await gate(runner, job)
        finally:
            await stopping.passed()

    gate = Gate()
    async with stage.running(unique(slow_to_stop)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.app.jobs.interrupt(root_id)
        await stopping.reached()
        between = await mq.send(Work(), delay=LATER)
        stopping.open()
        await mq.end(root_id)
        after = await mq.send(Work(), delay=LATER)

    assert (between.blocked_by, after.blocked_by) == (root_id, None)


async def test_the_name_is_taken_while_a_child_of_the_interrupted_root_runs(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(splitting("one")), delayed(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.app.jobs.interrupt(root_id)
        between = await mq.send(Work(), delay=LATER)
        gate.open()
        await mq.end(root_id)
        after = await mq.send(Work(), delay=LATER)

    assert (between.blocked_by, after.blocked_by) == (root_id, None)


# ---------------------------------------------------------------------------------------- dead consumers, ended jobs


async def test_a_child_whose_consumer_is_gone_is_cancelled_at_once(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id, child = await started(mq)
        await mq.until((await mq.child(root_id, "work")).id, SUCCESS)
        run = await mq.run_elsewhere(child.id)
        said = await mq.app.jobs.interrupt(child.id)
        child, root = await mq.job(child.id), await mq.job(root_id)
        late = await mq.finish(run, SUCCESS)

    assert (said, child.status, root.status) == (Interruption.CANCELLED, CANCELLED, CANCELLED)
    assert late is None


async def test_a_root_whose_consumers_are_gone_is_cancelled_at_once(stage: Stage) -> None:
    gate = Gate()
    split = unique(splitting("one", gate=gate))
    async with stage.running(split, delayed(gate), watch_interval=600) as mq:
        root_id, _ = await started(mq)
        await gate.reached(2)
        await mq.vanish(mq.consumers[0])
        said = await mq.app.jobs.interrupt(root_id)
        root = await mq.job(root_id)

    assert (said, root.status, root.children_cancelled) == (Interruption.CANCELLED, CANCELLED, 2)


async def test_an_interrupted_childs_consumer_that_dies_before_it_stopped_leaves_it_cancelled(
    stage: Stage,
) -> None:
    gate = Gate()
    processors = unique(splitting("one")), delayed(gate)
    async with stage.running(*processors, watch_interval=600, reap_interval=0.05) as mq:
        _, child = await started(mq)
        await gate.reached()
        said = await mq.app.jobs.interrupt(child.id)
        await mq.vanish(mq.consumers[0])
        child = await mq.end(child.id)

    assert (said, child.status, len(gate.runs)) == (Interruption.STOPPING, CANCELLED, 1)


@pytest.mark.parametrize("returned", [True, False])
async def test_interrupting_a_job_that_has_ended_changes_nothing_and_says_so(
    stage: Stage, returned: bool
) -> None:
    async with stage.running(unique(splitting("one")), delayed(returning(returned))) as mq:
        root = await mq.end(await mq.start(Work()))
        child = await mq.child(root.id, "one")
        said = [await mq.app.jobs.interrupt(job.id) for job in (root, child)]
        after = [await mq.job(job.id) for job in (root, child)]

    assert said == [Interruption.ENDED_BEFORE, Interruption.ENDED_BEFORE]
    assert after == [root, child]


async def test_interrupting_twice_is_like_once(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        first = await mq.app.jobs.interrupt(root_id)
        await mq.end(root_id)
        second = await mq.app.jobs.interrupt(root_id)

    assert (first, second) == (Interruption.STOPPING, Interruption.ENDED_BEFORE)
    await eventually(lambda: gate.stopped == 1)


async def test_interrupting_a_job_that_is_not_there_is_an_error(stage: Stage) -> None:
    async with stage.running() as mq:
        with pytest.raises(UnknownJob, match="no job 404"):
            await mq.app.jobs.interrupt(404)
