"""Section 5: a job that is born with its message, or not at all."""

from contextlib import suppress

import pytest

from mqjobs.model.errors import InvalidJobName
from mqjobs.model.job import Job
from mqjobs.model.message import Message, Outgoing
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from tests.support.consuming import Running, Stage
from tests.support.processors import (
    LATER,
    Gate,
    Hearing,
    acting,
    delayed,
    never,
    returning,
    splitting,
    unique,
)
from tests.support.topics import Piece, SteadyWork, Unbound, Work


class OlderWork(Topic, name="tests.work"):
    """What the topic was before a field of it was renamed."""

    task: str

    def job_name(self) -> str:
        return self.task


async def roots(mq: Running) -> list[Job]:
    """All root jobs, the oldest first."""
    return list(reversed(await mq.app.jobs.roots()))


async def test_sending_a_job_aware_message_creates_its_root(either: Stage) -> None:
    async with either.running(unique(returning(True))) as mq:
        sent = await mq.send(Work(job="tidy"), delay=LATER)
        [root] = await roots(mq)
        [message] = await mq.outbox(Work)

    assert (root.id, root.name, root.owner_id) == (sent.job_id, "tidy", str(sent.message_id))
    assert (root.status, root.topic, root.children) == (JobStatus.NEW, "tests.work", 1)
    assert message["message_id"] == sent.message_id


async def test_a_root_and_its_message_are_written_together_or_not_at_all(stage: Stage) -> None:
    async with stage.running(unique(never)) as mq:
        with suppress(ZeroDivisionError):
            async with mq.transaction() as connection:
                await mq.send(Work(job="tidy"), delay=LATER, connection=connection)
                raise ZeroDivisionError
        assert await roots(mq) == []
        assert await mq.fetch("SELECT * FROM mqjobs.message") == []


async def test_a_message_that_cannot_be_written_leaves_no_root_behind(stage: Stage) -> None:
    async with stage.running(unique(never)) as mq:
        await mq.execute("ALTER TABLE mqjobs.message ADD CONSTRAINT none CHECK (topic = '')")
        with pytest.raises(Exception, match="violates check constraint"):
            await mq.send(Work(job="tidy"))
        assert await roots(mq) == []


async def test_a_root_sent_in_a_transaction_is_there_when_that_commits(either: Stage) -> None:
    async with either.running(unique(returning(True))) as mq:
        async with mq.transaction() as connection:
            sent = await mq.send(Work(job="tidy"), connection=connection)
            before = await roots(mq)
        root = await mq.end(sent.job_id or 0)

    assert before == []
    assert root.status is JobStatus.SUCCESS


@pytest.mark.parametrize("started", [False, True])
async def test_nothing_is_sent_while_an_active_root_has_the_name_and_the_sender_learns_which(
    stage: Stage, started: bool
) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq:
        first = await mq.send(Work(job="tidy"), delay=0 if started else LATER)
        if started:
            await gate.reached()
        second = await mq.send(Work(job="tidy"))
        names = [root.name for root in await roots(mq)]
        messages = await mq.outbox(Work)

    assert (second.job_id, second.blocked_by) == (None, first.job_id)
    assert names == ["tidy"]
    assert [row["message_id"] for row in messages] == [first.message_id]


async def test_a_root_of_another_name_is_in_nobodys_way(stage: Stage) -> None:
    async with stage.running(unique(never)) as mq:
        await mq.send(Work(job="tidy"), delay=LATER)
        other = await mq.send(Work(job="tidier"), delay=LATER)

    assert (other.blocked_by, other.job_id is not None) == (None, True)


async def test_the_name_is_free_again_when_its_root_has_ended(either: Stage) -> None:
    async with either.running(unique(returning(True))) as mq:
        first = await mq.end(await mq.start(Work(job="tidy")))
        second = await mq.end(await mq.start(Work(job="tidy")))

    assert first.id != second.id
    assert (first.status, second.status) == (JobStatus.SUCCESS, JobStatus.SUCCESS)


async def test_of_two_messages_of_one_name_in_one_send_the_second_is_blocked_by_the_first(
    stage: Stage,
) -> None:
    async with stage.running(unique(never)) as mq:
        twice = [Outgoing(Work(job="tidy"), delay=LATER), Outgoing(Work(job="tidy"), delay=LATER)]
        first, second = await mq.app.producer.send_many(twice)
        messages = await mq.outbox(Work)

    assert (first.blocked_by, second.blocked_by) == (None, first.job_id)
    assert [row["message_id"] for row in messages] == [first.message_id]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("", "is empty"), ("x" * 256, "has 256 characters: 255 at most"), ("a\x00b", "NUL")],
)
async def test_a_message_whose_job_cannot_have_its_name_is_an_error_and_nothing_is_sent(
    stage: Stage, name: str, complaint: str
) -> None:
    async with stage.running(unique(never)) as mq:
        with pytest.raises(InvalidJobName, match=complaint):
            await mq.send(Work(job=name))
        assert await roots(mq) == []
        assert await mq.outbox(Work) == []


async def test_a_name_of_255_characters_is_a_name(stage: Stage) -> None:
    async with stage.running(unique(returning(True))) as mq:
        root = await mq.end(await mq.start(Work(job="ä" * 255)))

    assert (root.name, root.status) == ("ä" * 255, JobStatus.SUCCESS)


# --------------------------------------------------------------------------------- messages that end too early


async def test_a_message_with_an_invalid_body_cancels_its_root(either: Stage) -> None:
    older = either.app(sends=[OlderWork])
    async with either.running(unique(never)) as mq, older.open() as sender:
        sent = await sender.producer.send(OlderWork(task="tidy"))
        letter = await mq.dead_letter()
        root = await mq.end(sent.job_id or 0)

    assert (letter.reason, root.status) == ("invalid", JobStatus.CANCELLED)
    assert "field job" in letter.detail or "field task" in letter.detail


async def test_a_message_that_is_rejected_early_cancels_its_root(either: Stage) -> None:
    async def reject(message: Message[Work], context: Context) -> Result:
        return Result.REJECT

    async with either.running(acting(reject, Work)) as mq:
        root = await mq.end(await mq.start(Work(job="tidy")))
        again = await mq.send(Work(job="tidy"))

    assert root.status is JobStatus.CANCELLED
    assert again.blocked_by is None


async def test_a_message_whose_processor_fails_early_cancels_its_root(stage: Stage) -> None:
    async def fail(message: Message[Work], context: Context) -> Result:
        raise ValueError("no connection")

    async with stage.running(acting(fail, Work)) as mq:
        root = await mq.end(await mq.start(Work(job="tidy")))
        letter = await mq.dead_letter()

    assert (root.status, letter.reason) == (JobStatus.CANCELLED, "failed")


async def test_a_message_that_is_acknowledged_without_its_job_cancels_its_root(
    stage: Stage,
) -> None:
    async with stage.running(Hearing(Work)) as mq:
        root = await mq.end(await mq.start(Work(job="tidy")))

    assert root.status is JobStatus.CANCELLED


async def test_a_message_that_expired_cancels_its_root(either: Stage) -> None:
    async with either.running(unique(never)) as mq:
        sent = await mq.send(Work(job="tidy"), expires_in=0, delay=0.05)
        letter = await mq.dead_letter()
        root = await mq.end(sent.job_id or 0)

    assert (letter.reason, root.status) == ("expired", JobStatus.CANCELLED)


async def test_a_message_that_comes_again_later_keeps_its_root(stage: Stage) -> None:
    results = [Result.REQUEUE]

    async def act(message: Message[SteadyWork], context: Context) -> Result:
        if results:
            return results.pop()
        return Result.of(await context.jobs.run_unique_by_message(message, returning(True)))

    async with stage.running(acting(act, SteadyWork)) as mq:
        root = await mq.end(await mq.start(SteadyWork(job="tidy")))

    assert (root.status, root.children_success) == (JobStatus.SUCCESS, 1)


# --------------------------------------------------------------------------------------------- delayed children


async def test_a_delayed_childs_message_never_creates_a_root(either: Stage) -> None:
    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.create_delayed("one", SteadyWork(job="inner"))
        return True

    processors = unique(split), delayed(returning(True), SteadyWork)
    async with either.running(*processors) as mq:
        root = await mq.end(await mq.start(Work(job="outer")))
        names = [root.name for root in await roots(mq)]

    assert (root.status, root.children) == (JobStatus.SUCCESS, 2)
    assert names == ["outer"]


async def test_a_delayed_childs_message_that_is_acknowledged_without_its_job_fails_the_child(
    stage: Stage,
) -> None:
    async with stage.running(unique(splitting("one")), Hearing(Piece)) as mq:
        root = await mq.end(await mq.start(Work()))
        child = await mq.child(root.id, "one")

    assert (root.status, child.status) == (JobStatus.FAILED, JobStatus.FAILED)
    assert "did not run the job" in (child.error or "")


async def test_a_delayed_child_whose_message_no_queue_takes_has_failed(either: Stage) -> None:
    split = splitting("one", start=Unbound(text="nobody hears it"))
    async with either.running(unique(split)) as mq:
        root = await mq.end(await mq.start(Work()))
        child = await mq.child(root.id, "one")
        letter = await mq.dead_letter()

    assert (root.status, letter.reason) == (JobStatus.FAILED, "unroutable")
    assert "unroutable" in (child.error or "")


async def test_a_delayed_child_whose_message_expired_has_failed(stage: Stage) -> None:
    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.create_delayed("one", Outgoing(Piece(), delay=0.05, expires_in=0))
        return True

    async with stage.running(unique(split), delayed(never)) as mq:
        root = await mq.end(await mq.start(Work()))
        child = await mq.child(root.id, "one")

    assert (root.status, child.status) == (JobStatus.FAILED, JobStatus.FAILED)
    assert "expired" in (child.error or "")
