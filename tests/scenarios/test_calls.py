"""Section 3, the runner: what each call does, and what each callback comes to."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mqjobs.model.errors import InvalidJobName, LeaseLost, NotInUniqueJob, UnknownJob
from mqjobs.model.job import Job
from mqjobs.model.message import Message, Outgoing
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import Callback, JobRunner
from mqjobs.processing.running_job import RunningJob
from tests.support.consuming import Asked, Running, Stage
from tests.support.processors import (
    LATER,
    Gate,
    acting,
    delayed,
    never,
    raising,
    returning,
    splitting,
    unique,
)
from tests.support.topics import Note, Piece, Work


def run_unique(owner: str, name: str, callback: Callback) -> Asked:
    """Asks the runner to run a unique job."""

    def asked(message: Message[Any], context: Context) -> Any:
        return context.jobs.run_unique(owner, name, callback)

    return asked


async def roots(mq: Running) -> list[Job]:
    """All root jobs, the oldest first."""
    return list(reversed(await mq.app.jobs.roots()))


# ---------------------------------------------------------------------------------------------------- run_unique


async def test_run_unique_makes_a_root_and_its_own_child_of_the_same_name(stage: Stage) -> None:
    async with stage.running() as mq:
        await mq.inside(run_unique("owner", "tidy", returning(True)))
        [root] = await roots(mq)
        [own] = await mq.app.jobs.children(root.id)

    assert (root.name, root.owner_id, root.unique, root.is_root) == ("tidy", "owner", True, True)
    assert (own.name, own.own_child, own.root_id) == ("tidy", True, root.id)


@pytest.mark.parametrize(
    ("value", "status"), [(True, JobStatus.SUCCESS), (False, JobStatus.FAILED)]
)
async def test_run_unique_returns_what_its_callback_returned_and_the_job_ends_so(
    stage: Stage, value: bool, status: JobStatus
) -> None:
    async with stage.running() as mq:
        returned = await mq.inside(run_unique("owner", "tidy", returning(value)))
        [root] = await roots(mq)

    assert returned is value
    assert root.status is status


async def test_run_unique_hands_the_callback_the_running_own_child(stage: Stage) -> None:
    handed: list[RunningJob] = []

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        handed.append(job)
        return runner.root.id == job.root_id

    async with stage.running() as mq:
        assert await mq.inside(run_unique("owner", "tidy", callback)) is True

    [job] = handed
    assert (job.name, job.own_child, job.status, job.lease) == ("tidy", True, "running", 1)


async def test_run_unique_returns_none_and_runs_nothing_while_another_root_has_the_name(
    stage: Stage,
) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq:
        await mq.start(Work(job="tidy"))
        await gate.reached()
        returned = await mq.inside(run_unique("another", "tidy", never))
        letter = await mq.dead_letter()

    assert returned is None
    assert letter.reason == "rejected"
    assert "job name 'tidy' is taken" in letter.detail


async def test_run_unique_finds_the_root_of_its_owner_and_name(stage: Stage) -> None:
    async with stage.running() as mq:
        created = await mq.inside(lambda _, context: context.jobs.create_unique("owner", "tidy"))
        await mq.inside(run_unique("owner", "tidy", returning(True)))
        [root] = await roots(mq)

    assert created is not None
    assert (root.id, root.status) == (created.id, JobStatus.SUCCESS)


async def test_run_unique_does_not_run_an_ended_job_again_but_returns_its_outcome(
    stage: Stage,
) -> None:
    async with stage.running() as mq:
        await mq.inside(run_unique("owner", "tidy", returning(False)))
        returned = await mq.inside(run_unique("owner", "tidy", never))

    assert returned is False


async def test_run_unique_takes_a_name_again_once_the_job_before_has_ended(stage: Stage) -> None:
    async with stage.running() as mq:
        await mq.inside(run_unique("first", "tidy", returning(True)))
        returned = await mq.inside(run_unique("second", "tidy", returning(True)))
        ended = await roots(mq)

    assert returned is True
    assert [root.owner_id for root in ended] == ["first", "second"]


@pytest.mark.parametrize("value", [None, 1, 0, "yes", Result.ACK])
async def test_a_callback_that_returns_neither_true_nor_false_has_failed_and_the_error_says_so(
    stage: Stage, value: object
) -> None:
    async with stage.running(unique(returning(value))) as mq:
        root = await mq.end(await mq.start(Work()))
        own = await mq.child(root.id, "work")
        letter = await mq.dead_letter()

    assert root.status is JobStatus.FAILED
    assert own.error == f"the job's callback returned {value!r}: True or False was expected"
    assert "True or False was expected" in letter.detail


async def test_a_callback_that_raises_has_failed_and_its_message_is_rejected(stage: Stage) -> None:
    async with stage.running(unique(raising(ValueError("no such file")))) as mq:
        root = await mq.end(await mq.start(Work()))
        letter = await mq.dead_letter()

    assert root.status is JobStatus.FAILED
    assert (letter.reason, "no such file" in letter.detail) == ("rejected", True)


# ----------------------------------------------------------------------------------------- run_unique_by_message


async def test_run_unique_by_message_runs_the_root_that_was_born_with_the_message(
    either: Stage,
) -> None:
    async with either.running(unique(returning(True))) as mq:
        sent = await mq.send(Work(job="tidy"))
        root = await mq.end(sent.job_id or 0)
        [attempt] = await mq.attempts(1)

    assert (root.name, root.owner_id) == ("tidy", str(sent.message_id))
    assert root.status is JobStatus.SUCCESS
    assert attempt.result is Result.ACK


async def test_a_processor_rejects_where_its_job_came_to_false(either: Stage) -> None:
    async with either.running(unique(returning(False))) as mq:
        root = await mq.end(await mq.start(Work()))
        letter = await mq.dead_letter()

    assert root.status is JobStatus.FAILED
    assert (letter.reason, letter.envelope.topic) == ("rejected", "tests.work")


async def test_run_unique_by_message_runs_nothing_where_the_message_has_no_root(
    stage: Stage,
) -> None:
    async with stage.running(unique(never), acting(forwarded)) as mq:
        await mq.send(Note(text="tidy"))
        letter = await mq.dead_letter()

    assert letter.reason == "rejected"
    assert "no root job 'tidy'" in letter.detail


async def forwarded(message: Message[Any], context: Context) -> Result:
    """Runs a message as if it were of a job-aware topic, which has no root for it."""
    body = Work(job=message.body.text)
    work = Message(
        id=message.id,
        topic="tests.work",
        body=body,
        priority=message.priority,
        headers={},
        sent_at=message.sent_at,
        attempt=1,
        job_id=None,
    )
    return Result.of(await context.jobs.run_unique_by_message(work, never))


async def test_run_unique_by_message_returns_none_for_a_cancelled_root(stage: Stage) -> None:
    returned: list[bool | None] = []

    async def act(message: Message[Any], context: Context) -> Result:
        [root] = await context.database.fetch("SELECT id FROM mqjobs.job WHERE root_id IS NULL")
        await mq.app.jobs.interrupt(root["id"])
        returned.append(await context.jobs.run_unique_by_message(message, never))
        return Result.of(returned[0])

    async with stage.running(acting(act, Work)) as mq:
        root = await mq.end(await mq.start(Work()))
        await mq.attempts(1)

    assert root.status is JobStatus.CANCELLED
    assert returned == [None]


async def test_run_unique_by_message_is_an_error_for_a_topic_that_is_not_job_aware(
    stage: Stage,
) -> None:
    async with stage.running() as mq:
        with pytest.raises(NotInUniqueJob, match=r"tests\.question is not job-aware"):
            await mq.inside(
                lambda message, context: context.jobs.run_unique_by_message(message, never)
            )


# -------------------------------------------------------------------------------------------------- create_delayed


async def test_create_delayed_creates_a_new_child_and_sends_its_message(either: Stage) -> None:
    gate, pieces = Gate(), Gate()
    split = splitting("one", gate=gate)
    async with either.running(unique(split), delayed(pieces)) as mq:
        root_id = await mq.start(Work())
        await pieces.reached()
        child = await mq.child(root_id, "one")
        gate.open()
        pieces.open()
        root = await mq.end(root_id)

    assert (child.root_id, child.status, child.own_child) == (root_id, JobStatus.RUNNING, False)
    assert [run.id for run in pieces.runs] == [child.id]
    assert (root.status, root.children) == (JobStatus.SUCCESS, 2)


async def test_a_delayed_child_is_new_until_its_message_comes(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id = await mq.start(Work())
        await mq.settled()
        child = await mq.child(root_id, "one")
        [message] = await mq.outbox(Piece)

    assert (child.status, child.started_at) == (JobStatus.NEW, None)
    assert message["job_id"] == child.id


async def test_creating_a_child_twice_gives_the_same_child_and_one_message(stage: Stage) -> None:
    created: list[Job] = []

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        for number in (1, 2):
            start = Outgoing(Piece(number=number), delay=LATER)
            created.append(await runner.create_delayed("one", start))
        return True

    async with stage.running(unique(split), delayed(never)) as mq:
        root_id = await mq.start(Work())
        await mq.settled()
        messages = await mq.outbox(Piece)
        children = await mq.children(root_id)

    assert created[0].id == created[1].id
    assert set(children) == {"work", "one"}
    assert [row["body"] for row in messages] == [b'{"number":1}']


async def test_a_message_can_be_made_from_the_new_child_itself(stage: Stage) -> None:
    pieces = Gate()
    pieces.open()

    def start(child: Job) -> Topic:
        return Piece(number=child.id)

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        child = await runner.create_delayed("one", start)
        return child.name == "one"

    async with stage.running(unique(split), delayed(pieces)) as mq:
        root_id = await mq.start(Work())
        child = await mq.end((await mq.child_when_there(root_id, "one")).id)
        arrived = [message for message in mq.arrived if message.job_id == child.id]

    assert [message.body.number for message in arrived] == [child.id]


@pytest.mark.parametrize(
    "call",
    [
        lambda jobs: jobs.create_delayed("one", Piece()),
        lambda jobs: jobs.create_delayed_many([("one", Piece())]),
    ],
)
async def test_children_can_be_created_only_on_the_runner_of_a_unique_jobs_callback(
    stage: Stage, call: Any
) -> None:
    async with stage.running() as mq:
        with pytest.raises(NotInUniqueJob, match="a unique job's callback"):
            await mq.inside(lambda _, context: call(context.jobs))
        assert await roots(mq) == []


async def test_no_children_and_no_dependent_messages_can_be_added_after_the_callback_has_ended(
    stage: Stage,
) -> None:
    runners: list[JobRunner] = []

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        runners.append(runner)
        return await splitting("one", delay=LATER)(runner, job)

    async with stage.running(unique(split), delayed(never)) as mq:
        root_id = await mq.start(Work())
        await mq.until((await mq.child_when_there(root_id, "work")).id, JobStatus.SUCCESS)
        with pytest.raises(LeaseLost):
            await runners[0].create_delayed("late", Piece())
        with pytest.raises(LeaseLost):
            await runners[0].add_dependent(Piece())
        children, dependents = await mq.children(root_id), await mq.app.jobs.dependents(root_id)

    assert (set(children), list(dependents)) == ({"work", "one"}, [])


async def test_a_delayed_child_cannot_have_children_of_its_own(stage: Stage) -> None:
    async def split_again(runner: JobRunner, job: RunningJob) -> bool:
        await runner.create_delayed("grandchild", Piece())
        return True

    async with stage.running(unique(splitting("one")), delayed(split_again)) as mq:
        root = await mq.end(await mq.start(Work()))
        child = await mq.child(root.id, "one")

    assert (root.status, root.children) == (JobStatus.FAILED, 2)
    assert "NotInUniqueJob" in (child.error or "")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("work", "own child has that name"),
        ("", "is empty"),
        ("x" * 256, "has 256 characters: 255 at most"),
        ("a\x00b", "NUL"),
    ],
)
async def test_a_child_that_cannot_have_its_name_is_an_error_and_nothing_is_created(
    stage: Stage, name: str, complaint: str
) -> None:
    async with stage.running(unique(splitting(name)), delayed(never)) as mq:
        root = await mq.end(await mq.start(Work()))
        own = await mq.child(root.id, "work")

    assert (root.status, root.children) == (JobStatus.FAILED, 1)
    assert InvalidJobName.__name__ in (own.error or "")
    assert complaint in (own.error or "")


async def test_a_child_whose_message_is_invalid_is_not_created(stage: Stage) -> None:
    split = splitting("one", start=Note(text="x" * 200))
    async with stage.running(unique(split), max_message_bytes=100) as mq:
        root = await mq.end(await mq.start(Work()))
        messages = await mq.outbox(Note)

    assert (root.status, root.children, messages) == (JobStatus.FAILED, 1, [])


async def test_a_child_that_cannot_be_written_leaves_no_message_either(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        await mq.execute(
            "ALTER TABLE mqjobs.message ADD CONSTRAINT none CHECK (topic <> 'tests.piece')"
        )
        root = await mq.end(await mq.start(Work()))

    assert (root.status, root.children) == (JobStatus.FAILED, 1)


# --------------------------------------------------------------------------------------------- create_delayed_many


async def test_create_delayed_many_creates_thousands_of_children_with_their_messages(
    stage: Stage,
) -> None:
    created: list[int] = []

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        wanted = ((f"piece {n}", Outgoing(Piece(number=n), delay=LATER)) for n in range(1_234))
        created.append(await runner.create_delayed_many(wanted))
        return True

    async with stage.running(unique(split), delayed(never)) as mq:
        root_id = await mq.start(Work())
        await mq.settled()
        root = await mq.job(root_id)
        messages = await mq.outbox(Piece)

    assert created == [1_234]
    assert root.children == 1_235
    assert len({row["job_id"] for row in messages}) == 1_234


async def test_create_delayed_many_takes_what_comes_bit_by_bit_and_leaves_out_what_is_there(
    stage: Stage,
) -> None:
    created: list[int] = []

    async def wanted() -> AsyncIterator[tuple[str, Outgoing]]:
        for name in ("one", "two", "two", "three"):
            yield name, Outgoing(Piece(), delay=LATER)

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.create_delayed("one", Outgoing(Piece(), delay=LATER))
        created.append(await runner.create_delayed_many(wanted()))
        return True

    async with stage.running(unique(split), delayed(never)) as mq:
        root_id = await mq.start(Work())
        await mq.settled()
        children = await mq.children(root_id)

    assert created == [2]
    assert set(children) == {"work", "one", "two", "three"}


# ----------------------------------------------------------------------------------------------------- run_delayed


async def test_run_delayed_runs_the_child_of_that_id(stage: Stage) -> None:
    async with stage.running(unique(splitting("one", delay=LATER)), delayed(never)) as mq:
        root_id = await mq.start(Work())
        await mq.settled()
        child = await mq.child(root_id, "one")
        returned = await mq.inside(
            lambda _, context: context.jobs.run_delayed(child.id, returning(True))
        )
        root = await mq.end(root_id)

    assert returned is True
    assert root.status is JobStatus.SUCCESS


async def test_run_delayed_of_an_unknown_id_is_an_error_and_the_message_is_rejected(
    stage: Stage,
) -> None:
    async with stage.running() as mq:
        with pytest.raises(UnknownJob, match="no child job 404"):
            await mq.inside(lambda _, context: context.jobs.run_delayed(404, never))
        letter = await mq.dead_letter()

    assert (letter.reason, "no child job 404" in letter.detail) == ("rejected", True)


async def test_run_delayed_of_a_root_is_an_error(stage: Stage) -> None:
    async with stage.running() as mq:
        root = await mq.inside(lambda _, context: context.jobs.create_unique("owner", "tidy"))
        assert root is not None
        with pytest.raises(UnknownJob, match=f"no child job {root.id}"):
            await mq.inside(lambda _, context: context.jobs.run_delayed(root.id, never))


async def test_run_delayed_by_message_rejects_a_message_that_belongs_to_no_child(
    either: Stage,
) -> None:
    async with either.running(delayed(never)) as mq:
        await mq.send(Piece())
        letter = await mq.dead_letter()

    assert letter.reason == "rejected"
    assert "belongs to no delayed child" in letter.detail


# ------------------------------------------------------------------------- create_unique and cancel_unique_if_new


async def test_create_unique_creates_a_root_without_running_it(stage: Stage) -> None:
    async with stage.running() as mq:
        created = await mq.inside(lambda _, context: context.jobs.create_unique("owner", "tidy"))
        [root] = await roots(mq)

    assert created is not None
    assert (root.id, root.status, root.started_at) == (created.id, JobStatus.NEW, None)


async def test_create_unique_returns_none_where_the_name_is_taken(stage: Stage) -> None:
    async with stage.running() as mq:
        await mq.inside(lambda _, context: context.jobs.create_unique("first", "tidy"))
        second = await mq.inside(lambda _, context: context.jobs.create_unique("second", "tidy"))
        count = len(await roots(mq))

    assert (second, count) == (None, 1)


async def test_cancel_unique_if_new_cancels_a_root_that_nobody_has_started(stage: Stage) -> None:
    async with stage.running() as mq:
        await mq.inside(lambda _, context: context.jobs.create_unique("owner", "tidy"))
        cancelled = await mq.inside(
            lambda _, context: context.jobs.cancel_unique_if_new("owner", "tidy")
        )
        [root] = await roots(mq)

    assert cancelled is True
    assert root.status is JobStatus.CANCELLED


@pytest.mark.parametrize(("owner", "name"), [("another", "tidy"), ("owner", "other")])
async def test_cancel_unique_if_new_leaves_roots_of_other_owners_and_names(
    stage: Stage, owner: str, name: str
) -> None:
    async with stage.running() as mq:
        await mq.inside(lambda _, context: context.jobs.create_unique("owner", "tidy"))
        cancelled = await mq.inside(
            lambda _, context: context.jobs.cancel_unique_if_new(owner, name)
        )
        [root] = await roots(mq)

    assert (cancelled, root.status) == (False, JobStatus.NEW)


async def test_cancel_unique_if_new_leaves_a_root_that_was_started(stage: Stage) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq:
        sent = await mq.send(Work(job="tidy"))
        await gate.reached()
        cancelled = await mq.inside(
            lambda _, context: context.jobs.cancel_unique_if_new(str(sent.message_id), "tidy")
        )
        root = await mq.job(sent.job_id or 0)

    assert (cancelled, root.status) == (False, JobStatus.RUNNING)
