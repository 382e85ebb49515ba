"""Section 6: when a request for a unique job takes a name over, and that nothing of the old job counts then."""

import asyncio

import pytest

from mqjobs.model.errors import LeaseLost, RetryRefused
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from tests.support.consuming import Running, Stage
from tests.support.processors import (
    LATER,
    Gate,
    delayed,
    never,
    returning,
    splitting,
    unique,
)
from tests.support.topics import Piece, Work
from tests.support.waiting import eventually

STALE = JobStatus.STALE


async def waiting_root(mq: Running, job: str = "work") -> int:
    """A root with one delayed child that has not started; its own child has ended."""
    root_id = await mq.start(Work(job=job))
    await mq.until((await mq.child_when_there(root_id, job)).id, JobStatus.SUCCESS)
    return root_id


# ------------------------------------------------------------------------------------------- first condition: silence


@pytest.mark.parametrize(("seconds", "is_stale"), [(1790, False), (1810, True)])
async def test_a_root_is_stale_after_half_an_hour_of_silence_unless_something_else_is_set(
    stage: Stage, seconds: int, is_stale: bool
) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id = await waiting_root(mq)
        await mq.quiet(root_id, seconds)
        sent = await mq.send(Work(), delay=LATER)
        root = await mq.job(root_id)

    assert (root.status is STALE, sent.blocked_by is None) == (is_stale, is_stale)
    assert (root.stopped_at is not None) == is_stale


@pytest.mark.parametrize(
    ("name", "seconds", "is_stale"),
    [
        ("plain", 250, False),
        ("plain", 350, True),
        ("mail", 50, False),
        ("mail", 70, True),
        ("mail:news", 50, False),
        ("mail:news", 70, True),
        ("mail.news", 70, True),
        ("mailing", 70, False),
        ("mail:bulk:42", 15, True),
        ("mail:bulk", 5, False),
        ("export.all", 10**7, False),
        ("export", 10**7, False),
    ],
)
async def test_the_time_is_set_by_name_or_by_its_longest_prefix_or_by_default(
    stage: Stage, name: str, seconds: int, is_stale: bool
) -> None:
    times = {"default": 300, "mail": 60, "mail:bulk": 10, "export": -1}
    processors = unique(splitting("one", delay=LATER)), delayed(never)
    async with stage.running(*processors, time_before_stale=times) as mq:
        root_id = await waiting_root(mq, name)
        await mq.quiet(root_id, seconds)
        await mq.send(Work(job=name), delay=LATER)
        root = await mq.job(root_id)

    assert (root.status is STALE) is is_stale


async def test_a_default_of_minus_one_lets_no_job_become_stale(stage: Stage) -> None:
    processors = unique(splitting("one", delay=LATER)), delayed(never)
    async with stage.running(*processors, time_before_stale={"default": -1}) as mq:
        root_id = await waiting_root(mq)
        await mq.quiet(root_id, 10**8)
        sent = await mq.send(Work())

    assert sent.blocked_by == root_id


async def test_nobody_becomes_stale_before_somebody_asks_for_the_name_but_it_is_shown(
    stage: Stage,
) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id = await waiting_root(mq)
        before = await mq.job(root_id)
        await mq.quiet(root_id)
        await mq.send(Work(job="another name"))
        after = await mq.job(root_id)
        [listed] = await mq.app.jobs.roots(only_stale=True)

    assert (before.looks_stale, after.looks_stale) == (False, True)
    assert (after.status, listed.id) == (JobStatus.RUNNING, root_id)


async def test_activity_keeps_a_root_from_becoming_stale(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(root_id)
        await gate.runs[0].report(note="still here")
        sent = await mq.send(Work())

    assert sent.blocked_by == root_id


# --------------------------------------------------------- second condition: nothing runs in a live consumer


async def test_a_delayed_child_that_runs_in_a_live_consumer_protects_its_root(
    stage: Stage,
) -> None:
    gate = Gate()
    async with stage.running(unique(splitting("one")), delayed(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(root_id)
        sent = await mq.send(Work())
        root = await mq.job(root_id)

    assert (sent.blocked_by, root.status) == (root_id, JobStatus.RUNNING)


async def test_a_delayed_child_that_runs_in_a_dead_consumer_does_not_protect_its_root(
    stage: Stage,
) -> None:
    gate = Gate()
    async with stage.running(unique(splitting("one")), delayed(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(root_id)
        await mq.vanish(mq.consumers[0])
        await mq.send(Work(), delay=LATER)
        root = await mq.job(root_id)

    assert (root.status, root.children_stale) == (STALE, 1)


async def test_a_child_that_has_not_started_does_not_protect_its_root(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id = await waiting_root(mq)
        await mq.quiet(root_id)
        await mq.send(Work(), delay=LATER)
        child = await mq.child(root_id, "one")

    assert (child.status, child.started_at) == (STALE, None)


async def test_an_own_child_that_runs_does_not_protect_its_root(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(root_id)
        await mq.send(Work(), delay=LATER)
        root = await mq.job(root_id)

    assert root.status is STALE


async def test_a_root_that_nobody_has_started_can_become_stale(stage: Stage) -> None:
    async with stage.running(unique(never)) as mq:
        first = await mq.send(Work(), delay=LATER)
        await mq.quiet(first.job_id or 0)
        second = await mq.send(Work(), delay=LATER)
        root = await mq.job(first.job_id or 0)

    assert (root.status, second.blocked_by) == (STALE, None)


# ---------------------------------------------------------------------------------------------------- what it comes to


async def test_the_new_root_is_there_in_the_transaction_that_makes_the_old_one_stale(
    stage: Stage,
) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id = await waiting_root(mq)
        await mq.quiet(root_id)
        async with mq.transaction() as connection:
            sent = await mq.send(Work(), delay=LATER, connection=connection)
            before = await mq.job(root_id)
        after = await mq.job(root_id)
        new = await mq.job(sent.job_id or 0)

    assert (before.status, after.status) == (JobStatus.RUNNING, STALE)
    assert (new.status, new.name) == (JobStatus.NEW, "work")


@pytest.mark.parametrize("call", ["run_unique", "create_unique"])
async def test_the_runners_calls_take_a_stale_name_over_too(stage: Stage, call: str) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id = await waiting_root(mq)
        await mq.quiet(root_id)
        if call == "run_unique":
            await mq.inside(lambda _, c: c.jobs.run_unique("other", "work", returning(True)))
        else:
            await mq.inside(lambda _, c: c.jobs.create_unique("other", "work"))
        root = await mq.job(root_id)

    assert root.status is STALE


async def test_open_children_become_stale_and_those_that_have_ended_keep_their_status(
    stage: Stage,
) -> None:
    names = "succeeded", "failed", "cancelled", "redelivered", "new", "running"
    async with stage.running(unique(splitting(*names, delay=LATER)), delayed(never)) as mq:
        root_id = await waiting_root(mq)
        children = await mq.children(root_id)
        for name in ("succeeded", "failed", "redelivered", "running"):
            run = await mq.run_elsewhere(children[name].id)
            if name in ENDS:
                await mq.finish(run, ENDS[name])
        await mq.app.jobs.interrupt(children["cancelled"].id)
        await mq.quiet(root_id)
        await mq.send(Work(), delay=LATER)
        statuses = {name: child.status for name, child in (await mq.children(root_id)).items()}
        root = await mq.job(root_id)

    assert [statuses[name] for name in names] == [
        "success",
        "failed",
        "cancelled",
        "stale",
        "stale",
        "stale",
    ]
    assert (root.children_stale, root.children_open, statuses["work"]) == (3, 0, "success")


ENDS = {
    "succeeded": JobStatus.SUCCESS,
    "failed": JobStatus.FAILED,
    "redelivered": JobStatus.FAILED_REDELIVERED,
}


async def test_code_that_still_runs_for_a_stale_job_is_stopped(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(root_id)
        await mq.send(Work(), delay=LATER)
        await eventually(lambda: gate.stopped == 1, what="the stop of the old code")
        root = await mq.job(root_id)

    assert root.status is STALE


async def test_a_late_finish_changes_nothing_of_the_stale_job_nor_of_the_new_one(
    stage: Stage,
) -> None:
    gate = Gate()
    async with stage.running(unique(gate), watch_interval=600) as mq:
        old_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(old_id)
        new_id = await mq.start(Work())
        await gate.reached(2)
        old, new = await mq.child(old_id, "work"), await mq.child(new_id, "work")
        written = await mq.finish(gate.runs[0], JobStatus.SUCCESS)
        after = await mq.child(old_id, "work"), await mq.child(new_id, "work")

    assert written is None
    assert after == (old, new)
    assert (old.status, new.status) == (STALE, JobStatus.RUNNING)


async def test_whatever_the_old_code_does_later_is_refused(stage: Stage) -> None:
    refused: list[str] = []

    async def stubborn(runner: JobRunner, job: RunningJob) -> bool:
        if job.root_id != old_id[0]:
            return True
        await gate.passed()
        for name, call in (
            ("report", job.report(progress=0.9)),
            ("create", runner.create_delayed("late", Piece())),
            ("create many", runner.create_delayed_many([("late", Piece())])),
            ("dependent", runner.add_dependent(Piece())),
        ):
            try:
                await call
            except LeaseLost:
                refused.append(name)
        return True

    gate, old_id = Gate(), list[int]()
    async with stage.running(unique(stubborn), delayed(never), watch_interval=600) as mq:
        sent = await mq.send(Work())
        old_id.append(sent.job_id or 0)
        await gate.reached()
        await mq.quiet(old_id[0])
        new = await mq.end(await mq.start(Work()))
        gate.open()
        await mq.attempts(1, sent.message_id)
        old = await mq.job(old_id[0])

    assert refused == ["report", "create", "create many", "dependent"]
    assert (old.status, old.children, new.status) == (STALE, 1, JobStatus.SUCCESS)


async def test_the_message_of_a_stale_root_is_rejected(either: Stage) -> None:
    gate = Gate()
    async with either.running(unique(gate)) as mq:
        first = await mq.send(Work(), delay=LATER)
        await mq.quiet(first.job_id or 0)
        await mq.send(Work(), delay=2 * LATER)
        await mq.hasten(first.message_id)
        letter = await mq.dead_letter()
        [attempt] = await mq.attempts(1, first.message_id)

    assert gate.runs == []
    assert (letter.envelope.id, letter.reason) == (first.message_id, "rejected")
    assert attempt.result is not Result.ACK


async def test_two_requests_for_a_stale_name_at_once_make_one_new_root(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id = await waiting_root(mq)
        await mq.quiet(root_id)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(mq.send(Work(), delay=LATER)) for _ in range(5)]
        sent = [task.result() for task in tasks]
        roots = await mq.app.jobs.roots()

    born = [each.job_id for each in sent if each.job_id is not None]
    assert len(born) == 1
    assert {each.blocked_by for each in sent} == {None, born[0]}
    assert [root.status for root in roots] == [JobStatus.NEW, STALE]


async def test_a_stale_job_cannot_be_retried(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id = await waiting_root(mq)
        await mq.quiet(root_id)
        await mq.send(Work(), delay=LATER)
        child = await mq.child(root_id, "one")
        with pytest.raises(RetryRefused, match="is stale"):
            await mq.app.jobs.retry(child.id)
