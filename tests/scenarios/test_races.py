"""What happens at the same moment: each race is run many times, and ends in one way only."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from mqjobs.model.errors import LeaseLost
from mqjobs.model.interruption import Interruption
from mqjobs.model.job import Job
from mqjobs.model.message import Outgoing
from mqjobs.model.status import JobStatus
from mqjobs.model.stopped import RootJobStopped
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from mqjobs.store.roots import Moved, lock_roots_of, move_roots
from tests.support.consuming import Running, Stage
from tests.support.processors import (
    LATER,
    Gate,
    Hearing,
    delayed,
    never,
    returning,
    splitting,
    unique,
)
from tests.support.topics import Note, Piece, SteadyPiece, Work
from tests.support.waiting import eventually

SUCCESS, FAILED, CANCELLED = JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED

TIMES = 25


async def together(*calls: Awaitable[object]) -> None:
    """All of these at the same time."""
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(_awaited(call))


async def _awaited(call: Awaitable[object]) -> None:
    await call


def ends_of(told: Hearing, root_id: int) -> list[JobStatus]:
    """What subscribers were told of the root's end, each time that they were."""
    return [each.body.status for each in told.heard if each.body.job_id == root_id]


async def recounted(mq: Running, root: Job) -> bool:
    """Whether the root's counters are those of its children."""
    statuses = [child.status for child in (await mq.children(root.id)).values()]
    return (
        root.children,
        root.children_success,
        root.children_failed,
        root.children_cancelled,
        root.children_stale,
    ) == (
        len(statuses),
        statuses.count(SUCCESS),
        statuses.count(FAILED),
        statuses.count(CANCELLED),
        statuses.count(JobStatus.STALE),
    )


# ------------------------------------------------------------------------------------------------------ the lock order


async def test_calls_about_the_same_roots_wait_for_each_other_and_never_in_a_circle(
    stage: Stage,
) -> None:
    """Retried by nobody, so that a circle of locks would be an error here."""
    async with stage.running(delayed(never, Piece), unique(never)) as mq:
        names = [f"work {number}" for number in range(80)]
        sent = [await mq.send(Work(job=name), delay=LATER) for name in names]
        roots = [each.job_id for each in sent if each.job_id is not None]
        own = [job.id for each in roots for job in (await mq.children(each)).values()]

        async def lock(children: list[int]) -> None:
            for _ in range(TIMES):
                async with mq.transaction() as connection:
                    await lock_roots_of(connection, children)

        await together(*(lock(own[turn:] + own[:turn]) for turn in range(4)))

    assert len(own) == len(names)


# ------------------------------------------------------------------------------------------------- the last children


async def test_a_root_ends_once_when_its_last_two_children_finish_at_once_in_two_consumers(
    either: Stage,
) -> None:
    gates: dict[int, Gate] = {}
    notes, told = Hearing(), Hearing(RootJobStopped)

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        gates[job.root_id or 0] = Gate()
        await runner.add_dependent(Note(text=job.name))
        await runner.create_delayed("one", Piece())
        await runner.create_delayed("two", SteadyPiece())
        return True

    async def piece(runner: JobRunner, job: RunningJob) -> bool:
        return await gates[job.root_id or 0](runner, job)

    here, there = delayed(piece, Piece, "here"), delayed(piece, SteadyPiece, "there")
    async with either.running(unique(split), here, there, notes, told, consumers=0) as mq:
        await mq.start_consumer("here")
        await mq.start_consumer("there", "default")
        for number in range(TIMES):
            root_id = await mq.start(Work(job=f"race {number}"))
            await eventually(lambda: len(gates) == number + 1)  # noqa: B023
            await gates[root_id].reached(2)
            gates[root_id].open()
        ended = [await mq.end(root_id) for root_id in gates]
        await eventually(lambda: len(told.heard) >= TIMES and len(notes.heard) >= TIMES)
        counted = [await recounted(mq, root) for root in ended]

    assert all(len({run.consumer_id for run in gate.runs}) == 2 for gate in gates.values())
    assert [(root.status, root.children_success) for root in ended] == [(SUCCESS, 3)] * TIMES
    assert [ends_of(told, root_id) for root_id in gates] == [[SUCCESS]] * TIMES
    assert sorted(notes.texts) == sorted(root.name for root in ended)
    assert all(counted)


async def test_two_consumers_that_write_the_last_two_outcomes_at_once_end_the_root_once(
    stage: Stage,
) -> None:
    async def split(runner: JobRunner, job: RunningJob) -> bool:
        start = Outgoing(Piece(), delay=LATER)
        await runner.add_dependent(Note(text=job.name))
        return await runner.create_delayed_many([("one", start), ("two", start)]) == 2

    notes = Hearing()
    async with stage.running(unique(split), delayed(never), notes, consumers=2) as mq:
        for number in range(TIMES):
            root_id = await mq.start(Work(job=f"race {number}"))
            children = await children_after_split(mq, root_id, "two")
            one = await mq.run_elsewhere(children["one"].id)
            two = await mq.run_elsewhere(children["two"].id)
            await together(mq.finish(one, SUCCESS), mq.finish(two, FAILED))
            root = await mq.end(root_id)
            assert (root.status, await recounted(mq, root)) == (FAILED, True)
        await mq.settled()

    assert sorted(notes.texts) == sorted(f"race {number}" for number in range(TIMES))


async def children_after_split(mq: Running, root_id: int, last: str) -> dict[str, Job]:
    """The children of a root whose own child has ended; `last` is the name of one of them."""
    root = await mq.job(root_id)
    await mq.child_when_there(root_id, last)
    await mq.until((await mq.child(root_id, root.name)).id, SUCCESS)
    return await mq.children(root_id)


async def test_children_that_end_before_the_callback_has_created_the_rest_do_not_end_the_root(
    either: Stage,
) -> None:
    told = Hearing(RootJobStopped)

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        for number in range(6):
            child = await runner.create_delayed(f"piece {number}", Piece())
            await mq.end(child.id)
        return True

    async with either.running(unique(split), delayed(returning(True)), told) as mq:
        root = await mq.end(await mq.start(Work()))
        await eventually(lambda: told.heard)

    assert (root.status, root.children, root.children_success) == (SUCCESS, 7, 7)
    assert ends_of(told, root.id) == [SUCCESS]


async def test_a_root_without_children_ends_once(either: Stage) -> None:
    told = Hearing(RootJobStopped)
    async with either.running(unique(returning(True)), told, consumers=2) as mq:
        roots = [await mq.start(Work(job=f"race {number}")) for number in range(TIMES)]
        ended = [await mq.end(root_id) for root_id in roots]
        await eventually(lambda: len(told.heard) >= TIMES)

    assert [(root.status, root.children) for root in ended] == [(SUCCESS, 1)] * TIMES
    assert [ends_of(told, root_id) for root_id in roots] == [[SUCCESS]] * TIMES


async def test_a_root_that_has_ended_does_not_end_again_whatever_is_said_of_its_children(
    stage: Stage,
) -> None:
    told, notes = Hearing(RootJobStopped), Hearing()

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        await runner.add_dependent(Note(text="done"))
        return True

    async with stage.running(unique(callback), told, notes) as mq:
        root = await mq.end(await mq.start(Work()))
        async with mq.transaction() as connection:
            await move_roots(connection, [Moved(root.id, FAILED), Moved(root.id, None)])
        await mq.settled()
        after = await mq.job(root.id)

    assert after == root
    assert (ends_of(told, root.id), notes.texts) == ([SUCCESS], ["done"])


async def test_a_root_whose_callback_returns_none_ends_once_as_failed(either: Stage) -> None:
    told = Hearing(RootJobStopped)
    async with either.running(unique(returning(None)), told) as mq:
        root = await mq.end(await mq.start(Work()))
        await eventually(lambda: told.heard)

    assert (root.status, ends_of(told, root.id)) == (FAILED, [FAILED])


# ----------------------------------------------------------------------------------------------------- the same twice


async def test_the_same_child_created_many_times_at_once_is_one_child_with_one_message(
    stage: Stage,
) -> None:
    ids: set[int] = set()

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        async def create() -> None:
            child = await runner.create_delayed("one", Outgoing(Piece(), delay=LATER))
            ids.add(child.id)

        await together(*(create() for _ in range(10)))
        return True

    async with stage.running(unique(split), delayed(never)) as mq:
        root_id = await mq.start(Work())
        await children_after_split(mq, root_id, "one")
        await mq.settled()
        root, messages = await mq.job(root_id), await mq.outbox(Piece)

    assert (len(ids), root.children, len(messages)) == (1, 2, 1)


async def test_of_many_requests_for_a_name_at_once_one_root_is_born(either: Stage) -> None:
    gate = Gate()
    async with either.running(unique(gate), consumers=2) as mq:
        for number in range(5):
            async with asyncio.TaskGroup() as group:
                work = Work(job=f"race {number}")
                tasks = [group.create_task(mq.send(work)) for _ in range(6)]
            sent = [task.result() for task in tasks]
            [born] = [each.job_id for each in sent if each.job_id is not None]
            assert {each.blocked_by for each in sent} == {None, born}
        gate.open()

    assert len(gate.runs) <= 5


async def test_two_runs_of_one_unique_job_at_once_run_its_code_once(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(gate), consumers=2) as mq:
        sent = await mq.send(Work(), delay=LATER)
        [row] = await mq.parked(Work)
        await mq.execute(
            "INSERT INTO mqjobs.message (message_id, topic, queue, body, priority)"
            " SELECT message_id, topic, queue, body, priority FROM mqjobs.message, generate_series(1, 5)"
            " WHERE id = $1",
            row["id"],
        )
        await gate.reached()
        await mq.attempts(4)
        gate.open()
        root = await mq.end(sent.job_id or 0)

    assert (root.status, len(gate.runs)) == (SUCCESS, 1)


# ---------------------------------------------------------------------------------------------------------- interrupts


async def test_an_interrupt_while_children_are_being_created_leaves_none_that_can_run(
    stage: Stage,
) -> None:
    ran: list[str] = []

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.create_delayed("first", Outgoing(Piece(), delay=LATER))
        creating.set()
        for number in range(30):
            await runner.create_delayed(f"piece {number}", Outgoing(Piece(), delay=LATER))
        return True

    async def piece(runner: JobRunner, job: RunningJob) -> bool:
        ran.append(job.name)
        return True

    creating, told = asyncio.Event(), Hearing(RootJobStopped)
    async with stage.running(unique(split), delayed(piece), told) as mq:
        for number in range(5):
            creating.clear()
            root_id = await mq.start(Work(job=f"race {number}"))
            async with asyncio.timeout(15):
                await creating.wait()
            await mq.app.jobs.interrupt(root_id)
            root = await mq.end(root_id)
            await mq.settled()
            assert (root.status, root.children, ran) == (CANCELLED, 32, [])
            assert await recounted(mq, root)
            assert ends_of(told, root_id) == [CANCELLED]


async def test_an_interrupt_while_the_last_child_finishes_ends_the_root_once_and_in_one_way(
    stage: Stage,
) -> None:
    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.add_dependent(Note(text=job.name))
        await runner.create_delayed("last", Outgoing(Piece(), delay=LATER))
        return True

    said: list[Interruption] = []

    async def interrupt(root_id: int) -> None:
        said.append(await mq.app.jobs.interrupt(root_id))

    notes, told = Hearing(), Hearing(RootJobStopped)
    processors = unique(split), delayed(never), notes, told
    async with stage.running(*processors) as mq:
        ended = []
        for number in range(TIMES):
            root_id = await mq.start(Work(job=f"race {number}"))
            children = await children_after_split(mq, root_id, "last")
            last = await mq.run_elsewhere(children["last"].id)
            await make_alive(mq, last)
            await together(mq.finish(last, SUCCESS), interrupt(root_id))
            ended.append(await mq.end(root_id))
        await mq.settled()

    assert [root.status for root in ended] == [
        SUCCESS if each is Interruption.ENDED_BEFORE else CANCELLED for each in said
    ]
    assert sorted(notes.texts) == sorted(root.name for root in ended if root.status is SUCCESS)
    assert [ends_of(told, root.id) for root in ended] == [[root.status] for root in ended]


async def make_alive(mq: Running, job: Job) -> None:
    """The consumer that runs the job lives."""
    await mq.execute(
        "INSERT INTO mqjobs.consumer (id, host, pid, version, queues, alive_until)"
        " VALUES ($1, 'elsewhere', 1, '0', '{}', now() + interval '1 hour')",
        job.consumer_id,
    )


async def test_an_interrupt_of_a_child_while_it_finishes_leaves_one_outcome(stage: Stage) -> None:
    gate = Gate()
    gate.open()
    async with stage.running(unique(gate)) as mq:
        for number in range(TIMES):
            root_id = await mq.start(Work(job=f"race {number}"))
            own = await mq.child(root_id, f"race {number}")
            said = await mq.app.jobs.interrupt(own.id)
            root, own = await mq.end(root_id), await mq.end(own.id)
            assert own.status is root.status
            if said is Interruption.CANCELLED:
                assert own.status is CANCELLED
            if said is Interruption.ENDED_BEFORE:
                assert own.status is SUCCESS


# -------------------------------------------------------------------------------------------------------------- stale


async def test_a_stale_takeover_while_the_old_code_runs_leaves_the_name_to_the_new_job(
    either: Stage,
) -> None:
    gate, told = Gate(), Hearing(RootJobStopped)
    async with either.running(unique(gate), told, consumers=2) as mq:
        old_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(old_id)
        new_id = await mq.start(Work())
        await eventually(lambda: gate.stopped == 1 and len(gate.runs) == 2)
        gate.open()
        new, old = await mq.end(new_id), await mq.job(old_id)
        await eventually(lambda: len(told.heard) == 2)

    assert (old.status, new.status) == (JobStatus.STALE, SUCCESS)
    assert (ends_of(told, old_id), ends_of(told, new_id)) == ([JobStatus.STALE], [SUCCESS])


async def test_a_stale_takeover_at_the_moment_of_the_last_finish_ends_the_old_root_once(
    stage: Stage,
) -> None:
    told = Hearing(RootJobStopped)
    async with stage.running(unique(never), told) as mq:
        for number in range(TIMES):
            name = f"race {number}"
            sent = await mq.send(Work(job=name), delay=LATER)
            old_id = sent.job_id or 0
            run = await mq.run_elsewhere((await mq.child(old_id, name)).id)
            await mq.quiet(old_id)
            await together(mq.finish(run, SUCCESS), mq.send(Work(job=name), delay=LATER))
            old = await mq.end(old_id)
            assert old.status in {SUCCESS, JobStatus.STALE}
            await mq.settled()
            assert ends_of(told, old_id) == [old.status]


async def test_old_code_that_does_not_stop_cannot_write_over_the_new_job(stage: Stage) -> None:
    refused: list[int] = []

    async def stubborn(runner: JobRunner, job: RunningJob) -> bool:
        try:
            await gate(runner, job)
        except asyncio.CancelledError:
            try:
                await job.report(progress=0.9)
            except LeaseLost:
                refused.append(job.id)
        return True

    gate = Gate()
    async with stage.running(unique(stubborn)) as mq:
        old_id = await mq.start(Work())
        await gate.reached()
        await mq.quiet(old_id)
        new_id = await mq.start(Work())
        await eventually(lambda: refused)
        await mq.attempts(1)
        gate.open()
        new, old = await mq.end(new_id), await mq.job(old_id)

    assert len(refused) == 1
    assert (old.status, old.children_success, new.status) == (JobStatus.STALE, 0, SUCCESS)


# ------------------------------------------------------------------------------------------------------ dead consumers


async def test_a_consumer_that_was_only_thought_dead_loses_to_the_one_that_took_over(
    stage: Stage,
) -> None:
    gate = Gate()
    one_each: dict[str, Any] = {"concurrency": 1, "prefetch": 1}
    async with stage.running(unique(gate), consumers=2, watch_interval=600, **one_each) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.vanish(mq.consumer_of(gate.runs[0]))
        await mq.deliver_again(mq.arrived[0])
        await gate.reached(2)
        gate.open()
        await mq.attempts(2)
        root, own = await mq.end(root_id), await mq.child(root_id, "work")

    assert [run.lease for run in gate.runs] == [1, 2]
    assert (own.lease, own.status, root.children_success) == (2, SUCCESS, 1)


@pytest.mark.parametrize("late", [SUCCESS, FAILED, JobStatus.FAILED_REDELIVERED])
async def test_a_finish_under_an_old_lease_writes_nothing(stage: Stage, late: JobStatus) -> None:
    async with stage.running(unique(never)) as mq:
        sent = await mq.send(Work(), delay=LATER)
        own = await mq.child(sent.job_id or 0, "work")
        first = await mq.run_elsewhere(own.id)
        second = await mq.run_elsewhere(own.id)
        before = await mq.job(own.id), await mq.job(sent.job_id or 0)
        written = await mq.finish(first, late)
        after = await mq.job(own.id), await mq.job(sent.job_id or 0)

    assert (first.lease, second.lease) == (1, 2)
    assert (written, after) == (None, before)


async def test_an_older_run_can_write_nothing_while_a_newer_one_runs(stage: Stage) -> None:
    gate, runners = Gate(), list[tuple[JobRunner, RunningJob]]()

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        runners.append((runner, job))
        return await gate(runner, job)

    pace: dict[str, Any] = {"concurrency": 1, "prefetch": 1, "watch_interval": 600}
    async with stage.running(unique(callback), delayed(never), consumers=2, **pace) as mq:
        root_id = await mq.start(Work())
        await gate.reached()
        await mq.vanish(mq.consumer_of(gate.runs[0]))
        await mq.deliver_again(mq.arrived[0])
        await gate.reached(2)
        runner, job = runners[0]
        for write in (
            lambda: job.report(progress=0.9, note="from the grave"),
            lambda: runner.create_delayed("late", Piece()),
            lambda: runner.create_delayed_many([("late", Piece())]),
            lambda: runner.add_dependent(Note(text="late")),
        ):
            with pytest.raises(LeaseLost):
                await write()
        own, root = await mq.child(root_id, "work"), await mq.job(root_id)
        dependents = await mq.app.jobs.dependents(root_id)

    assert (own.lease, own.progress, own.data) == (2, 0.0, None)
    assert (root.children, list(dependents)) == (1, [])


async def test_an_outcome_that_is_written_twice_counts_once(stage: Stage) -> None:
    split = splitting("one", "two", delay=LATER)
    async with stage.running(unique(split), delayed(never)) as mq:
        root_id = await mq.start(Work())
        children = await children_after_split(mq, root_id, "two")
        run = await mq.run_elsewhere(children["one"].id)
        first = await mq.finish(run, SUCCESS)
        root, child = await mq.job(root_id), await mq.job(run.id)
        second = await mq.finish(run, SUCCESS)
        after = await mq.job(root_id), await mq.job(run.id)

    assert (first, second) == (SUCCESS, SUCCESS)
    assert (root.children_success, after) == (2, (root, child))
