"""The life of a delivery: whatever its processor does, the message ends where it belongs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import field_validator
from structlog.testing import capture_logs

from mqjobs.model.errors import Redeliver
from mqjobs.model.message import Envelope, Message
from mqjobs.model.outcome import StopReason
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.middleware import Middleware, Proceed
from mqjobs.processing.registry import Registry
from mqjobs.processing.running_job import RunningJob
from mqjobs.runtime.execution import UNRUN, Execution
from mqjobs.transport.seam import Delivery, Inbox
from tests.support.envelopes import an_envelope
from tests.support.processors import Act, Acting
from tests.support.surroundings import QUEUE, REDELIVERY_DELAY, Surroundings
from tests.support.topics import HastyPiece, Note, Piece, SteadyNote, Work
from tests.support.waiting import eventually


class Picky(Topic, name="tests.picky"):
    """Has a validator with a fault."""

    color: str

    @field_validator("color")
    @classmethod
    def known(cls, color: str) -> str:
        return {"red": "rot"}[color]


@dataclass
class Desk:
    """Where deliveries are executed one by one."""

    around: Surroundings
    inbox: Inbox
    registry: Registry
    middleware: list[Middleware] = field(default_factory=list)
    seen: list[tuple[Message[Any], Context]] = field(default_factory=list)

    def processes(self, topic: type[Topic], act: Act) -> None:
        """This is what is done with messages of this topic."""

        async def noted(message: Message[Any], context: Context) -> Result:
            self.seen.append((message, context))
            return await act(message, context)

        self.registry.subscribe([Acting(topic, noted)])

    def execution(self) -> Execution:
        return Execution(
            self.around.services,
            self.registry,
            self.around.producer,
            self.around.pool,
            self.middleware,
        )

    async def delivered(self, envelope: Envelope) -> Delivery:
        """The message as it comes in."""
        await self.around.transport.publish([envelope])
        return await self.next_delivery()

    async def next_delivery(self) -> Delivery:
        async with asyncio.timeout(10):
            async for delivery in self.inbox.deliveries():
                return delivery
        raise AssertionError("the inbox is closed")

    async def execute(self, envelope: Envelope) -> None:
        """The whole life of this message's delivery."""
        await self.execution().execute(await self.delivered(envelope), self.inbox)

    async def is_done(self) -> None:
        """Nothing is left of what was delivered."""
        await eventually(lambda: self._is_settled(), what="the acknowledgement")

    async def _is_settled(self) -> bool:
        taken = "SELECT count(*) FROM mqjobs.message WHERE consumer_id IS NOT NULL"
        return bool(await self.around.pool.fetchval(taken) == 0)

    async def parked(self) -> Any:
        """The only message that is to come again."""
        await self.is_done()
        [row] = await self.around.outbox()
        return row

    async def letter(self) -> Any:
        """The only dead letter."""
        await self.is_done()
        assert not await self.around.outbox()
        [row] = await self.around.dead_letters()
        return row


@pytest.fixture
async def desk(around: Surroundings) -> AsyncIterator[Desk]:
    registry = around.registry()
    opened = around.transport.inbox(
        [QUEUE], prefetch=1, consumer_id=around.services.runs.consumer_id
    )
    async with opened as inbox:
        yield Desk(around, inbox, registry)


def returning(result: Any) -> Act:
    async def act(message: Message[Any], context: Context) -> Result:
        return result  # type: ignore[no-any-return]  # and wrong ones, too

    return act


def raising(error: BaseException) -> Act:
    async def act(message: Message[Any], context: Context) -> Result:
        raise error

    return act


def a_note(body: bytes = b'{"text": "a"}', topic: str = "tests.note", **fields: Any) -> Envelope:
    return an_envelope(topic, queue=QUEUE, body=body, **fields)


async def test_a_processor_is_handed_the_message_and_its_surroundings(desk: Desk) -> None:
    desk.processes(Note, returning(Result.ACK))
    envelope = a_note(headers={"tenant": "nord"}, attempt=2)

    await desk.execute(envelope)

    [(message, context)] = desk.seen
    assert message.body == Note(text="a")
    assert (message.id, message.attempt, message.headers) == (
        envelope.id,
        2,
        {"tenant": "nord"},
    )
    assert await context.database.fetchval("SELECT 1") == 1
    assert context.producer is desk.around.producer


async def test_an_acknowledged_message_is_gone(desk: Desk) -> None:
    desk.processes(Note, returning(Result.ACK))

    await desk.execute(a_note())

    await desk.is_done()
    assert not await desk.around.outbox()
    assert not await desk.around.dead_letters()


async def test_a_rejected_message_is_a_dead_letter(desk: Desk) -> None:
    desk.processes(Note, returning(Result.REJECT))
    envelope = a_note()

    await desk.execute(envelope)

    letter = await desk.letter()
    assert (letter["message_id"], letter["dead_reason"]) == (envelope.id, "rejected")


@pytest.mark.parametrize(
    ("act", "wait"),
    [
        (returning(Result.REQUEUE), REDELIVERY_DELAY),
        (raising(Redeliver()), REDELIVERY_DELAY),
        (raising(Redeliver(after=60)), timedelta(minutes=1)),
    ],
)
async def test_a_message_that_is_asked_for_again_is_parked_and_the_attempt_counts(
    desk: Desk, act: Act, wait: timedelta
) -> None:
    desk.processes(Note, act)
    envelope = a_note(attempt=4)

    await desk.execute(envelope)

    parked = await desk.parked()
    assert (parked["message_id"], parked["queue"], parked["attempt"]) == (envelope.id, QUEUE, 5)
    assert wait - timedelta(seconds=5) < parked["wait"] <= wait


async def test_a_message_is_tried_as_often_as_its_topic_says_and_then_a_dead_letter(
    desk: Desk,
) -> None:
    desk.processes(SteadyNote, raising(ValueError("boom")))
    envelope = a_note(topic="tests.steady_note")

    await desk.execute(envelope)
    again = await desk.next_delivery()
    assert (again.envelope.id, again.envelope.attempt) == (envelope.id, 2)
    await desk.execution().execute(again, desk.inbox)

    letter = await desk.letter()
    assert (letter["dead_reason"], letter["attempt"]) == ("failed", 2)
    assert "ValueError: boom" in letter["dead_detail"]


async def test_a_processor_that_returns_no_result_leaves_a_dead_letter_that_says_so(
    desk: Desk,
) -> None:
    desk.processes(Note, returning(None))

    await desk.execute(a_note())

    letter = await desk.letter()
    assert letter["dead_detail"] == "the processor returned None: a Result was expected"


class Panic(BaseException):
    """What extension modules raise that want nobody to catch it."""


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), asyncio.CancelledError("of something else"), MemoryError(), Panic("boom")],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_processor_raises_is_its_own_end_and_not_the_consumers(
    desk: Desk, error: BaseException
) -> None:
    desk.processes(Note, raising(error))

    await desk.execute(a_note())

    letter = await desk.letter()
    assert letter["dead_reason"] == "failed"
    assert type(error).__name__ in letter["dead_detail"]


@pytest.mark.parametrize(
    ("envelope", "reason", "detail"),
    [
        (a_note(b"{not json"), "invalid", "Invalid JSON"),
        (a_note(b"[]"), "invalid", "should be an object"),
        (a_note(b" " * 10_001), "invalid", "10001 bytes, 10000 are allowed"),
        (a_note(headers={str(n): "" for n in range(102)}), "invalid", "102 headers: 100 at most"),
        (a_note(headers={"long": "x" * 256}), "invalid", "header long is too long"),
        (a_note(headers={"n" * 101: ""}), "invalid", "is too long: 100 characters for a name"),
        (a_note(b'{"color": "red"}'), "invalid", "field color: Extra inputs are not permitted"),
        (a_note(b'{"text": 7}'), "invalid", "field text: Input should be a valid string"),
        (a_note(b'{"color": "blue"}', "tests.picky"), "invalid", "KeyError: 'blue'"),
        (a_note(topic="tests.nobody"), "unknown_topic", "there is no topic 'tests.nobody'"),
        (a_note(topic="tests.piece"), "no_processor", "no processor takes tests.piece from queue"),
        (a_note(expires_at=an_envelope().sent_at), "expired", "it was to be acted on until"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_message_that_nobody_can_act_on_is_a_dead_letter_with_the_reason(
    desk: Desk, envelope: Envelope, reason: str, detail: str
) -> None:
    desk.processes(Note, returning(Result.ACK))
    desk.processes(Picky, returning(Result.ACK))

    await desk.execute(envelope)

    letter = await desk.letter()
    assert letter["dead_reason"] == reason
    assert detail in letter["dead_detail"]
    assert not desk.seen


async def test_a_strangers_message_that_cannot_be_kept_as_it_is_is_kept_bare(desk: Desk) -> None:
    desk.processes(Note, returning(Result.REJECT))
    delivery = await desk.delivered(a_note())
    strange = replace(delivery.envelope, attempt=2**40)

    await desk.execution().execute(replace(delivery, envelope=strange), desk.inbox)

    letter = await desk.letter()
    assert (letter["dead_reason"], letter["attempt"]) == ("not_settled", 1)


async def test_a_job_aware_message_that_nobody_looked_into_leaves_no_root_that_waits(
    desk: Desk,
) -> None:
    desk.processes(Work, returning(Result.ACK))
    sent = await desk.around.producer.send(Work())

    await desk.execution().execute(await desk.next_delivery(), desk.inbox)

    assert (await desk.around.job(sent.job_id)).status is JobStatus.CANCELLED


async def test_a_delayed_child_that_nobody_looked_into_has_failed(desk: Desk) -> None:
    desk.processes(Piece, returning(Result.ACK))
    async with desk.around.splitting() as runner:
        child = await runner.create_delayed("one", Piece())

    await desk.execution().execute(await desk.next_delivery(), desk.inbox)

    failed = await desk.around.job(child.id)
    assert failed.status is JobStatus.FAILED
    assert "its processor did not run the job" in (failed.error or "")


async def waiting_for_ever(message: Message[Any], context: Context) -> Result:
    await asyncio.Event().wait()
    return Result.ACK


async def answering_a_stop_with_an_error(message: Message[Any], context: Context) -> Result:
    try:
        return await waiting_for_ever(message, context)
    except asyncio.CancelledError:
        raise ConnectionError("while it cleaned up") from None


async def stopped(desk: Desk, act: Act) -> None:
    """The attempt runs, and then the consumer stops it."""
    desk.processes(Note, act)
    execution, delivery = desk.execution(), await desk.delivered(a_note())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(execution.execute(delivery, desk.inbox))
        await eventually(lambda: desk.seen)
        assert execution.stop() == 1
    assert not task.cancelled()


@pytest.mark.parametrize("act", [waiting_for_ever, answering_a_stop_with_an_error])
async def test_what_a_stop_interrupts_is_given_back_and_comes_again_as_it_was(
    desk: Desk, act: Act
) -> None:
    await stopped(desk, act)

    again = await desk.next_delivery()
    assert (again.envelope.attempt, again.redelivered) == (1, True)


async def test_what_ends_in_peace_after_a_stop_has_its_own_result(desk: Desk) -> None:
    async def act(message: Message[Any], context: Context) -> Result:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Result.REQUEUE
        return Result.ACK

    await stopped(desk, act)

    assert (await desk.parked())["attempt"] == 2


async def test_stopping_stops_nothing_where_nothing_runs(desk: Desk) -> None:
    desk.processes(Note, returning(Result.ACK))
    execution = desk.execution()

    await execution.execute(await desk.delivered(a_note()), desk.inbox)

    assert execution.stop() == 0


async def test_an_attempt_that_takes_longer_than_its_topic_allows_has_failed(desk: Desk) -> None:
    desk.processes(HastyPiece, waiting_for_ever)

    await desk.execute(a_note(b"{}", "tests.hasty_piece"))

    letter = await desk.letter()
    assert letter["dead_reason"] == "failed"
    assert "TimeoutError: the attempt took longer than its topic's timeout" in letter["dead_detail"]


async def test_a_timeout_that_finds_the_outcome_being_written_waits_for_it(desk: Desk) -> None:
    """The child is a success; its message must not end as a failure."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def succeed(runner: object, job: object) -> bool:
        began.set()
        await go_on.wait()
        return True

    async def act(message: Message[Any], context: Context) -> Result:
        return Result.of(await context.jobs.run_delayed_by_message(message, succeed))

    async def is_a_success() -> bool:
        return (await desk.around.job(child.id)).status is JobStatus.SUCCESS

    desk.processes(Piece, act)
    async with desk.around.splitting() as runner:
        child = await runner.create_delayed("one", Piece())
    delivery = await desk.next_delivery()

    async with asyncio.TaskGroup() as group:
        group.create_task(desk.execution().execute(delivery, desk.inbox))
        await began.wait()
        async with desk.around.held_up(child):
            go_on.set()
            await eventually(desk.around.somebody_waits)
            desk.seen[0][1].attempt.stop(StopReason.TIMED_OUT)
    await eventually(is_a_success)

    assert not await desk.around.dead_letters()
    assert (await desk.parked())["job_id"] == child.id


async def test_what_is_stopped_and_cancelled_besides_is_given_back(desk: Desk) -> None:
    """As by a consumer that is at its end."""
    desk.processes(Note, waiting_for_ever)
    execution, delivery = desk.execution(), await desk.delivered(a_note())

    async with asyncio.TaskGroup() as group:
        task = group.create_task(execution.execute(delivery, desk.inbox))
        await eventually(lambda: desk.seen)
        execution.stop()
        task.cancel()

    assert (await desk.next_delivery()).envelope.id == delivery.envelope.id


async def test_a_message_that_comes_again_while_it_is_in_process_here_is_parked_and_runs_once(
    desk: Desk,
) -> None:
    """Its channel was lost, and the broker delivers it once more."""
    go_on = asyncio.Event()

    async def act(message: Message[Any], context: Context) -> Result:
        await go_on.wait()
        return Result.ACK

    desk.processes(Note, act)
    execution, delivery = desk.execution(), await desk.delivered(a_note())
    async with asyncio.TaskGroup() as group:
        group.create_task(execution.execute(delivery, desk.inbox))
        await eventually(lambda: desk.seen)
        await execution.execute(replace(delivery, redelivered=True), desk.inbox)
        waiting = await desk.around.outbox()
        go_on.set()

    assert len(desk.seen) == 1
    assert [row["message_id"] for row in waiting if row["wait"] > timedelta(0)] == [
        delivery.envelope.id
    ]
    assert desk.around.services.tally.counts()[Count.DUPLICATES, ""] == 1


async def test_an_attempt_is_stopped_also_where_its_message_came_once_more_meanwhile(
    desk: Desk,
) -> None:
    """A relay that died had published it twice: nothing says so of the second one."""
    desk.processes(Note, waiting_for_ever)
    execution, delivery = desk.execution(), await desk.delivered(a_note())
    async with asyncio.TaskGroup() as group:
        first = group.create_task(execution.execute(delivery, desk.inbox))
        await eventually(lambda: len(desk.seen) == 1)
        second = group.create_task(execution.execute(delivery, desk.inbox))
        await eventually(lambda: len(desk.seen) == 2)
        both = execution.running
        desk.seen[1][1].attempt.stop(StopReason.SHUTDOWN)
        await asyncio.wait([second])
        stopped = execution.stop()
        await asyncio.wait([first])

    assert (both, stopped) == (2, 1)


async def test_middleware_sees_the_attempt_and_its_errors_are_the_attempts(desk: Desk) -> None:
    async def refusing(message: Message[Any], context: Context, proceed: Proceed) -> Result:
        await proceed()
        raise PermissionError("not for you")

    desk.middleware.append(refusing)
    desk.processes(Note, returning(Result.ACK))

    await desk.execute(a_note())

    assert len(desk.seen) == 1
    assert "PermissionError: not for you" in (await desk.letter())["dead_detail"]


@pytest.mark.parametrize(
    ("act", "event", "says", "warned"),
    [
        (returning(Result.ACK), "done", {}, []),
        (returning(Result.REJECT), "rejected", {"reason": "rejected"}, ["dead_letter"]),
        (returning(Result.REQUEUE), "parked", {"why": "requeued", "again_in_s": 7.0}, []),
        (
            raising(ValueError("a\nb")),
            "dead_letter",
            {"detail": "ValueError: a b"},
            ["dead_letter"],
        ),
    ],
    ids=["done", "rejected", "parked", "failed"],
)
async def test_one_line_for_each_attempt_says_what_became_of_it(
    desk: Desk, act: Act, event: str, says: dict[str, object], warned: list[str]
) -> None:
    desk.processes(Note, act)
    envelope = a_note()

    with capture_logs() as lines:
        await desk.execute(envelope)

    [line] = [line for line in lines if line["event"] == event]
    assert (
        line.items()
        >= {
            "topic": "tests.note",
            "message_id": str(envelope.id),
            "queue": QUEUE,
            **says,
        }.items()
    )
    assert [line["attempt"] for line in lines if "ms" in line] == [1]
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == warned


async def test_the_line_of_an_attempt_that_found_its_job_ended_says_so(desk: Desk) -> None:
    async def run(message: Message[Any], context: Context) -> Result:
        async def callback(runner: JobRunner, job: RunningJob) -> bool:
            return True

        return Result.of(await context.jobs.run_unique_by_message(message, callback))

    desk.processes(Work, run)
    sent = await desk.around.producer.send(Work())
    delivery = await desk.next_delivery()

    with capture_logs() as lines:
        await desk.execution().execute(delivery, desk.inbox)
        await desk.execute(delivery.envelope)

    job = await desk.around.job(sent.job_id)
    assert [(line["event"], line.get("why")) for line in lines if "ms" in line] == [
        ("done", None),
        ("settled", f"job {job.id + 1} {job.name!r} had come to success before"),
    ]


async def test_the_line_of_an_attempt_that_did_not_look_into_its_job_says_so(desk: Desk) -> None:
    desk.processes(Work, returning(Result.ACK))
    await desk.around.producer.send(Work())

    with capture_logs() as lines:
        await desk.execution().execute(await desk.next_delivery(), desk.inbox)

    [line] = [line for line in lines if "ms" in line]
    assert (line["event"], line["why"]) == ("settled", UNRUN)
