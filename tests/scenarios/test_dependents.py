"""Section 8: dependent messages go out once, when their root ends, and only where it ends so."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from mqjobs.model.errors import Redeliver
from mqjobs.model.message import Message
from mqjobs.model.priority import Priority
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.model.stopped import RootJobStopped
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import Callback, JobRunner
from mqjobs.processing.processor import Processor
from mqjobs.processing.running_job import RunningJob
from tests.support.consuming import Running, Stage
from tests.support.processors import (
    LATER,
    Gate,
    Hearing,
    acting,
    delayed,
    never,
    raising,
    returning,
    splitting,
    unique,
)
from tests.support.topics import Note, Unbound, Work
from tests.support.waiting import eventually

SUCCESS, FAILED = JobStatus.SUCCESS, JobStatus.FAILED
DONE = returning(True)


def adding(*texts: str, on: JobStatus | None = None, then: Callback = DONE) -> Callback:
    """A callback that adds dependent notes to its root, and goes on with another."""

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        for text in texts:
            await runner.add_dependent(Note(text=text), on=on)
        return await then(runner, job)

    return callback


async def dependents_waiting(mq: Running, root_id: int) -> list[bool]:
    """Of each dependent message of a root, whether it still waits."""
    return [each.sent_at is None for each in await mq.app.jobs.dependents(root_id)]


# -------------------------------------------------------------------------------------------------- when they go out


@pytest.mark.parametrize("returned", [True, False])
async def test_a_dependent_message_goes_out_when_its_root_succeeds_or_fails(
    either: Stage, returned: bool
) -> None:
    notes = Hearing()
    async with either.running(unique(adding("done", then=returning(returned))), notes) as mq:
        root = await mq.end(await mq.start(Work()))
        await eventually(lambda: notes.texts == ["done"])

    assert root.status is (SUCCESS if returned else FAILED)


async def test_a_dependent_message_waits_until_the_last_child_has_ended(either: Stage) -> None:
    gate, notes = Gate(), Hearing()
    split = adding("done", then=splitting("one", "two"))
    async with either.running(unique(split), delayed(gate), notes) as mq:
        root_id = await mq.start(Work())
        await gate.reached(2)
        await mq.until((await mq.child(root_id, "work")).id, SUCCESS)
        before, waiting = list(notes.texts), await dependents_waiting(mq, root_id)
        gate.open()
        await mq.end(root_id)
        await eventually(lambda: notes.texts == ["done"])

    assert (before, waiting) == ([], [True])


@pytest.mark.parametrize(
    ("on", "returned", "sent"),
    [
        (SUCCESS, True, True),
        (SUCCESS, False, False),
        (FAILED, True, False),
        (FAILED, False, True),
    ],
)
async def test_a_dependent_message_that_names_an_end_goes_out_with_that_end_alone(
    stage: Stage, on: JobStatus, returned: bool, sent: bool
) -> None:
    notes = Hearing()
    callback = adding("done", on=on, then=returning(returned))
    async with stage.running(unique(callback), notes) as mq:
        root = await mq.end(await mq.start(Work()))
        await mq.settled()
        waiting = await dependents_waiting(mq, root.id)

    assert notes.texts == (["done"] if sent else [])
    assert waiting == [not sent]


async def test_a_cancelled_root_sends_none(stage: Stage) -> None:
    gate, notes = Gate(), Hearing()
    async with stage.running(unique(adding("done", then=gate)), notes) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.app.jobs.interrupt(root_id)
        root = await mq.end(root_id)
        await mq.settled()
        waiting = await dependents_waiting(mq, root_id)

    assert (root.status, notes.texts, waiting) == (JobStatus.CANCELLED, [], [True])


async def test_a_stale_root_sends_none(stage: Stage) -> None:
    gate, notes = Gate(), Hearing()
    async with stage.running(unique(adding("done", then=gate)), notes) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(root_id)
        await mq.send(Work(), delay=LATER)
        await eventually(lambda: gate.stopped == 1)
        await mq.settled()
        root, waiting = await mq.job(root_id), await dependents_waiting(mq, root_id)

    assert (root.status, notes.texts, waiting) == (JobStatus.STALE, [], [True])


async def test_dependent_messages_are_sent_in_the_transaction_that_ends_the_root(
    stage: Stage,
) -> None:
    split = adding("done", then=splitting("one", delay=LATER))
    async with stage.running(unique(split), delayed(never), Hearing()) as mq:
        root_id = await mq.start(Work())
        child = await mq.child_when_there(root_id, "one")
        await mq.until((await mq.child(root_id, "work")).id, SUCCESS)
        run = await mq.run_elsewhere(child.id)
        await mq.execute("ALTER TABLE mqjobs.message ADD CHECK (topic <> 'tests.note') NOT VALID")
        with pytest.raises(Exception, match="violates check constraint"):
            await mq.finish(run, SUCCESS)
        root, waiting = await mq.job(root_id), await dependents_waiting(mq, root_id)

    assert (root.status, root.children_success, waiting) == (JobStatus.RUNNING, 1, [True])


async def test_dependent_messages_are_sent_once_however_often_the_last_message_comes(
    either: Stage,
) -> None:
    notes = Hearing()
    split = adding("done", then=splitting("one"))
    async with either.running(unique(split), delayed(returning(True)), notes) as mq:
        root = await mq.end(await mq.start(Work()))
        for message in [each for each in mq.arrived if each.topic != "tests.note"]:
            await mq.deliver_again(message)
        await eventually(lambda: notes.texts)
        await mq.attempts(5)

    assert root.status is SUCCESS
    assert notes.texts == ["done"]


async def test_a_retried_root_sends_no_dependent_message_a_second_time(stage: Stage) -> None:
    notes, outcomes = Hearing(), [False, True]

    async def piece(runner: JobRunner, job: RunningJob) -> bool:
        return outcomes.pop(0)

    split = adding("done", then=splitting("one"))
    async with stage.running(unique(split), delayed(piece), notes) as mq:
        root = await mq.end(await mq.start(Work()))
        await mq.settled()
        await mq.app.jobs.retry(root.id)
        await mq.until(root.id, SUCCESS)
        await mq.settled()

    assert (root.status, notes.texts) == (FAILED, ["done"])


async def test_a_dependent_message_that_no_queue_takes_is_a_dead_letter(stage: Stage) -> None:
    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        await runner.add_dependent(Unbound(text="nobody hears it"))
        return True

    async with stage.running(unique(callback)) as mq:
        root = await mq.end(await mq.start(Work()))
        letter = await mq.dead_letter()

    assert (root.status, letter.reason) == (SUCCESS, "unroutable")
    assert letter.envelope.topic == "tests.unbound"


# ----------------------------------------------------------------------------------------------------------- adding


async def test_saving_twice_adds_to_what_is_there(stage: Stage) -> None:
    notes = Hearing()

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        return await adding("three", then=adding("four"))(runner, job)

    async with stage.running(unique(adding("one", "two", then=callback)), notes) as mq:
        await mq.end(await mq.start(Work()))
        await mq.settled()

    assert sorted(notes.texts) == ["four", "one", "three", "two"]


async def test_the_same_message_added_twice_is_sent_twice(stage: Stage) -> None:
    notes = Hearing()
    async with stage.running(unique(adding("done", "done")), notes) as mq:
        await mq.end(await mq.start(Work()))
        await mq.settled()

    assert notes.texts == ["done", "done"]


Act = Callable[[Context, JobRunner, RunningJob], Awaitable[bool]]


def in_unique_job(act: Act) -> Processor:
    """Runs each unique job by this, which sees the processor's context too."""

    async def process(message: Message[Work], context: Context) -> Result:
        callback = partial(act, context)
        return Result.of(await context.jobs.run_unique_by_message(message, callback))

    return acting(process, Work)


async def test_a_context_collects_messages_and_saves_them_together(stage: Stage) -> None:
    left: list[int] = []

    async def act(context: Context, runner: JobRunner, job: RunningJob) -> bool:
        dependents = context.dependent_jobs.create_context(runner.root)
        dependents.add(Note(text="urgent"), priority=Priority.VERY_HIGH)
        dependents.add(Note(text="when all is well"), on=SUCCESS)
        await context.dependent_jobs.save(dependents)
        left.append(len(dependents.added))
        return await gate(runner, job)

    gate = Gate()
    async with stage.running(in_unique_job(act), Hearing()) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        found = await mq.app.jobs.dependents(root_id)

    assert left == [0]
    assert [(each.envelope.priority, each.on) for each in found] == [(4, None), (2, SUCCESS)]


async def test_messages_that_were_added_and_not_saved_do_not_go_out(stage: Stage) -> None:
    async def act(context: Context, runner: JobRunner, job: RunningJob) -> bool:
        context.dependent_jobs.create_context(runner.root).add(Note(text="forgotten"))
        return True

    notes = Hearing()
    async with stage.running(in_unique_job(act), notes) as mq:
        await mq.end(await mq.start(Work()))
        await mq.settled()

    assert notes.texts == []


async def for_a_child(context: Context, runner: JobRunner, job: RunningJob) -> bool:
    context.dependent_jobs.create_context(job)
    return True


async def for_a_root_that_runs_elsewhere(
    context: Context, runner: JobRunner, job: RunningJob
) -> bool:
    other = await context.jobs.create_unique("owner", "another")
    assert other is not None
    dependents = context.dependent_jobs.create_context(other)
    dependents.add(Note())
    await context.dependent_jobs.save(dependents)
    return True


async def on_another_runner(context: Context, runner: JobRunner, job: RunningJob) -> bool:
    await context.jobs.add_dependent(Note())
    return True


async def for_an_end_that_sends_none(context: Context, runner: JobRunner, job: RunningJob) -> bool:
    await runner.add_dependent(Note(), on=JobStatus.CANCELLED)
    return True


async def with_a_body_too_large(context: Context, runner: JobRunner, job: RunningJob) -> bool:
    await runner.add_dependent(Note(text="x" * 200))
    return True


@pytest.mark.parametrize(
    ("act", "complaint"),
    [
        (for_a_child, "NotARootJob: job 2 is a child: dependent messages wait for root jobs"),
        (for_a_root_that_runs_elsewhere, "NotInUniqueJob: root job 3 is not run here"),
        (on_another_runner, "NotInUniqueJob: root works only on the runner"),
        (for_an_end_that_sends_none, "JobError: a dependent message waits for success or failed"),
        (with_a_body_too_large, "InvalidMessage: a message of tests.note has 211 bytes"),
    ],
)
async def test_what_cannot_wait_for_a_roots_end_is_an_error_and_is_not_saved(
    stage: Stage, act: Act, complaint: str
) -> None:
    async with stage.running(in_unique_job(act), Hearing(), max_message_bytes=100) as mq:
        root = await mq.end(await mq.start(Work()))
        own = await mq.child(root.id, "work")
        found = await mq.fetch("SELECT * FROM mqjobs.dependent_message")

    assert complaint in (own.error or "")
    assert found == []


async def test_a_delayed_child_can_add_no_dependent_message(stage: Stage) -> None:
    processors = unique(splitting("one")), delayed(adding("done")), Hearing()
    async with stage.running(*processors) as mq:
        root = await mq.end(await mq.start(Work()))
        child = await mq.child(root.id, "one")

    assert child.status is FAILED
    assert "NotInUniqueJob" in (child.error or "")


async def test_a_root_that_is_run_again_adds_to_what_its_first_run_added(stage: Stage) -> None:
    again = adding("one", then=raising(Redeliver(0)))
    notes = Hearing()
    async with stage.running(unique(again), notes) as mq:
        await mq.end(await mq.start(Work()))
        await mq.settled()

    assert notes.texts == ["one", "one"]


# ------------------------------------------------------------------------------------------------------- subscribers


@pytest.mark.parametrize("end", ["success", "failed", "cancelled", "stale"])
async def test_subscribers_are_told_once_of_each_end_of_a_root(stage: Stage, end: str) -> None:
    gate, told = Gate(), Hearing(RootJobStopped)

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        return end != "failed" if job.name == "work" and await gate(runner, job) else True

    async with stage.running(unique(callback), told) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        match end:
            case "cancelled":
                await mq.app.jobs.interrupt(root_id)
            case "stale":
                await mq.quiet(root_id)
                await mq.send(Work(), delay=LATER)
            case _:
                gate.open()
        await mq.until(root_id, JobStatus(end))
        await mq.settled()

    assert [message.body for message in told.heard] == [
        RootJobStopped(job_id=root_id, name="work", status=JobStatus(end))
    ]


async def test_the_end_of_a_root_is_no_message_where_nobody_subscribes(stage: Stage) -> None:
    async with stage.running(unique(returning(True))) as mq:
        await mq.end(await mq.start(Work()))
        await mq.settled()
        messages = await mq.fetch("SELECT * FROM mqjobs.message")

    assert messages == []


async def test_a_job_name_with_any_characters_is_told_as_it_is(stage: Stage) -> None:
    told, name = Hearing(RootJobStopped), 'a "quoted" \\ name, ümlaut \n and \U0001f40d'
    async with stage.running(unique(returning(True)), told) as mq:
        await mq.end(await mq.start(Work(job=name)))
        await mq.settled()

    assert [message.body.name for message in told.heard] == [name]
