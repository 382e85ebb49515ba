"""Section 4, a root job: its status and progress follow its children, and nothing else sets them."""

import pytest

from mqjobs.model.errors import Redeliver
from mqjobs.model.job import Job
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
from tests.support.topics import Piece, Work

NEW, RUNNING, SUCCESS = JobStatus.NEW, JobStatus.RUNNING, JobStatus.SUCCESS
FAILED, CANCELLED = JobStatus.FAILED, JobStatus.CANCELLED
REDELIVERED = JobStatus.FAILED_REDELIVERED


async def move(mq: Running, child: Job, status: JobStatus) -> None:
    """Bring the child where it is to be, on the way that its consumers take."""
    match status:
        case JobStatus.NEW:
            return
        case JobStatus.CANCELLED:
            await mq.app.jobs.interrupt(child.id)
        case JobStatus.RUNNING:
            await mq.run_elsewhere(child.id)
        case _:
            await mq.finish(await mq.run_elsewhere(child.id), status)


@pytest.mark.parametrize(
    ("own", "children", "expected"),
    [
        (SUCCESS, [NEW], RUNNING),
        (SUCCESS, [RUNNING], RUNNING),
        (SUCCESS, [REDELIVERED], RUNNING),
        (FAILED, [SUCCESS, NEW], RUNNING),
        (CANCELLED, [SUCCESS, NEW], RUNNING),
        (REDELIVERED, [SUCCESS], RUNNING),
        (SUCCESS, [SUCCESS, SUCCESS], SUCCESS),
        (SUCCESS, [SUCCESS, FAILED], FAILED),
        (FAILED, [SUCCESS, SUCCESS], FAILED),
        (SUCCESS, [CANCELLED, SUCCESS], CANCELLED),
        (SUCCESS, [CANCELLED, FAILED], CANCELLED),
        (FAILED, [CANCELLED, SUCCESS], CANCELLED),
        (SUCCESS, [FAILED, FAILED], FAILED),
    ],
)
async def test_a_roots_status_follows_its_children(
    stage: Stage, own: JobStatus, children: list[JobStatus], expected: JobStatus
) -> None:
    names = [f"piece {number}" for number in range(len(children))]
    held = unique(splitting(*names, delay=LATER, gate=Gate()))
    async with stage.running(held, delayed(never)) as mq:
        root_id = await mq.start(Work())
        for name in names:
            await mq.child_when_there(root_id, name)
        for name, status in zip(names, children, strict=True):
            await move(mq, await mq.child(root_id, name), status)
        await end_own_child(mq, root_id, own)
        root = await mq.job(root_id)

    assert root.status is expected
    assert (root.stopped_at is not None) == expected.is_terminal


async def end_own_child(mq: Running, root_id: int, status: JobStatus) -> None:
    """The own child, which runs, comes to this."""
    own = await mq.child(root_id, "work")
    if status is CANCELLED:
        await mq.app.jobs.interrupt(own.id)
        await mq.end(own.id)
    else:
        await mq.finish(own, status)


async def test_a_root_whose_children_are_all_new_is_new(stage: Stage) -> None:
    async with stage.running() as mq:
        root = await mq.inside(lambda _, context: context.jobs.create_unique("owner", "tidy"))
        assert root is not None
        found = await mq.job(root.id)

    assert (found.status, found.started_at, found.stopped_at) == (NEW, None, None)
    assert (found.children, found.children_open, found.progress) == (1, 1, 0.0)


async def test_a_root_with_no_delayed_children_ends_with_its_own_child(either: Stage) -> None:
    async with either.running(unique(returning(True))) as mq:
        root = await mq.end(await mq.start(Work()))

    assert (root.status, root.children, root.progress) == (SUCCESS, 1, 1.0)


async def test_a_root_runs_until_its_last_child_has_ended(either: Stage) -> None:
    gate = Gate()
    async with either.running(unique(splitting("one", "two")), delayed(gate)) as mq:
        root_id = await mq.start(Work())
        await gate.reached(2)
        await mq.until((await mq.child(root_id, "work")).id, SUCCESS)
        waiting = await mq.job(root_id)
        gate.open()
        ended = await mq.end(root_id)

    assert (waiting.status, waiting.stopped_at) == (RUNNING, None)
    assert (ended.status, ended.children_success) == (SUCCESS, 3)
    assert ended.stopped_at is not None


async def test_a_root_is_kept_open_by_its_own_child_while_that_creates_more(stage: Stage) -> None:
    gate = Gate()

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.create_delayed("one", Piece())
        await gate.passed()
        await runner.create_delayed("two", Piece())
        return True

    async with stage.running(unique(split), delayed(returning(True))) as mq:
        root_id = await mq.start(Work())
        await mq.end((await mq.child_when_there(root_id, "one")).id)
        between = await mq.job(root_id)
        gate.open()
        ended = await mq.end(root_id)

    assert (between.status, between.progress) == (RUNNING, 0.5)
    assert (ended.status, ended.children) == (SUCCESS, 3)


async def test_a_roots_progress_counts_successes_and_failures_with_four_decimals(
    stage: Stage,
) -> None:
    names = [f"piece {number}" for number in range(6)]
    async with stage.running(unique(splitting(*names, delay=LATER)), delayed(never)) as mq:
        root_id = await mq.start(Work())
        await mq.settled()
        children = await mq.children(root_id)
        await move(mq, children["piece 0"], SUCCESS)
        await move(mq, children["piece 1"], FAILED)
        await move(mq, children["piece 2"], CANCELLED)
        await move(mq, children["piece 3"], REDELIVERED)
        root = await mq.job(root_id)

    assert root.progress == 0.4286  # of seven children, three: the own child is one of them
    assert (root.children_success, root.children_failed, root.children_cancelled) == (2, 1, 1)


async def test_a_root_is_started_when_its_callback_first_runs(stage: Stage) -> None:
    again = raising(Redeliver(0.05))
    async with stage.running(unique(again)) as mq:
        root = await mq.end(await mq.start(Work()))
        own = await mq.child(root.id, "work")

    assert root.started_at is not None
    assert own.started_at is not None
    assert root.started_at < own.started_at


async def test_a_processor_cannot_set_the_status_of_a_root(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", returns=False)), delayed(never)) as mq:
        await mq.execute("UPDATE mqjobs.binding SET queue = 'nowhere' WHERE topic = 'tests.piece'")
        root_id = await mq.start(Work())
        await mq.until((await mq.child_when_there(root_id, "work")).id, FAILED)
        root = await mq.job(root_id)

    assert (root.status, root.children_failed) == (RUNNING, 1)


async def test_counters_equal_a_recount_whatever_the_children_came_to(either: Stage) -> None:
    first: list[bool | Exception] = [True, False, ValueError("x"), Redeliver(0), True, False]

    async def piece(runner: JobRunner, job: RunningJob) -> bool:
        outcome = first.pop(0) if first else True
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    names = [f"piece {number}" for number in range(20)]
    async with either.running(unique(splitting(*names)), delayed(piece), consumers=2) as mq:
        root = await mq.end(await mq.start(Work()))
        statuses = [child.status for child in (await mq.children(root.id)).values()]

    assert (root.children, root.children_success) == (21, statuses.count(SUCCESS))
    assert (root.children_failed, root.children_cancelled) == (statuses.count(FAILED), 0)
    assert (statuses.count(FAILED), root.status) == (3, FAILED)
