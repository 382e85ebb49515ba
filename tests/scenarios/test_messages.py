"""Section 9: what is checked, where messages end, when they come again, and who decides whether they go out."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from pydantic import field_validator

from mqjobs.app.settings import Settings
from mqjobs.model.errors import (
    ConfigurationError,
    InvalidMessage,
    MessageError,
    Redeliver,
    UnknownTopic,
    Unroutable,
)
from mqjobs.model.message import Message, Outgoing
from mqjobs.model.priority import Priority
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context
from tests.support.consuming import Running, Stage
from tests.support.envelopes import an_envelope
from tests.support.processors import LATER, Gate, Hearing, acting, returning, unique
from tests.support.topics import Note, SteadyNote, Unbound, Work
from tests.support.waiting import eventually


class Typed(Topic, name="tests.typed"):
    """Has a field of each kind."""

    count: int
    tags: tuple[str, ...] = ()

    @field_validator("count")
    @classmethod
    def positive(cls, count: int) -> int:
        if count < 0:
            raise ValueError("give 0 or more")
        return count


async def rejecting(message: Message[Any], context: Context) -> Result:
    return Result.REJECT


async def sent_rows(mq: Running) -> int:
    """How many messages there are, in whatever condition."""
    count: int = await mq.fetchval("SELECT count(*) FROM mqjobs.message")
    return count


# --------------------------------------------------------------------------------------------- checked where it is sent


BAD: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (
        lambda producer: producer.send_raw("tests.typed", {"count": "many"}),
        InvalidMessage,
        "tests.typed: field count: Input should be a valid integer",
    ),
    (
        lambda producer: producer.send_raw("tests.typed", {"count": 1, "tags": ["a", 2]}),
        InvalidMessage,
        "tests.typed: field tags.1: Input should be a valid string",
    ),
    (
        lambda producer: producer.send_raw("tests.typed", {}),
        InvalidMessage,
        "tests.typed: field count: Field required",
    ),
    (
        lambda producer: producer.send_raw("tests.typed", {"count": 1, "colour": "red"}),
        InvalidMessage,
        "tests.typed: field colour: Extra inputs are not permitted",
    ),
    (
        lambda producer: producer.send_raw("tests.typed", {"count": -1}),
        InvalidMessage,
        "field count: Value error, give 0 or more",
    ),
    (
        lambda producer: producer.send_raw("tests.typed", '{"count": 1'),
        InvalidMessage,
        "tests.typed: Invalid JSON",
    ),
    (
        lambda producer: producer.send_raw("tests.typed", "[1]"),
        InvalidMessage,
        "tests.typed: Input should be an object",
    ),
    (
        lambda producer: producer.send_raw("tests.tiped", {"count": 1}),
        UnknownTopic,
        "no topic 'tests.tiped'; did you mean tests.typed",
    ),
    (
        lambda producer: producer.send_raw("zzz", {}),
        UnknownTopic,
        "no topic 'zzz'; known are",
    ),
    (lambda producer: producer.send("tests.note"), InvalidMessage, "is not a message: give"),
    (lambda producer: producer.send(None), InvalidMessage, "body=None.* is not a message"),
    (
        lambda producer: producer.send(Note(text="x" * 2000)),
        InvalidMessage,
        "tests.note has 2011 bytes, 1000 are allowed",
    ),
    (
        lambda producer: producer.send(Note(), headers={"trace": "a\x00b"}),
        InvalidMessage,
        "header trace of a message of tests.note needs a text of up to 255 characters, no NUL",
    ),
    (
        lambda producer: producer.send(Note(), headers={"tr\x00ace": "a"}),
        InvalidMessage,
        "header 'tr.x00ace' of a message of tests.note: use 1 to 100 visible",
    ),
    (
        lambda producer: producer.send(Note(), headers={"trace": 1}),
        InvalidMessage,
        "header trace of a message of tests.note",
    ),
    (
        lambda producer: producer.send(Note(), headers={"mqjobs-id": "a"}),
        InvalidMessage,
        "header 'mqjobs-id' of a message of tests.note",
    ),
    (
        lambda producer: producer.send(Note(), priority=7),
        InvalidMessage,
        "priority 7 of a message of tests.note: 0 to 4",
    ),
    (
        lambda producer: producer.send(Note(), delay=-1),
        InvalidMessage,
        "delay -1 of a message of tests.note",
    ),
    (
        lambda producer: producer.send(Note(), delay=float("nan")),
        InvalidMessage,
        "delay nan of a message of tests.note",
    ),
    (
        lambda producer: producer.send(Note(), expires_in=timedelta(days=10**5)),
        InvalidMessage,
        "expires_in .* of a message of tests.note",
    ),
    (
        lambda producer: producer.send(Unbound()),
        Unroutable,
        "no queue takes tests.unbound: subscribe a processor",
    ),
]


@pytest.mark.parametrize(("send", "error", "complaint"), BAD, ids=[each[2] for each in BAD])
async def test_what_breaks_a_rule_is_an_error_for_its_sender_and_nothing_is_sent(
    stage: Stage, send: Callable[[Any], Any], error: type[MessageError], complaint: str
) -> None:
    processors = Hearing(Typed), Hearing()
    async with stage.running(*processors, max_message_bytes=1000) as mq:
        with pytest.raises(error, match=complaint):
            await send(mq.app.producer)
        assert await sent_rows(mq) == 0


async def test_send_by_name_is_checked_against_the_same_class_and_arrives(either: Stage) -> None:
    heard = Hearing(Typed)
    async with either.running(heard) as mq:
        await mq.app.producer.send_raw("tests.typed", '{"count": 3}', headers={"trace": "t1"})
        await eventually(lambda: heard.heard)

    [message] = heard.heard
    assert (message.body, dict(message.headers)) == (Typed(count=3), {"trace": "t1"})


async def test_a_message_arrives_with_its_id_time_topic_priority_and_headers(
    either: Stage,
) -> None:
    heard = Hearing()
    headers = {"trace": "ünï", "tenant": "7"}
    async with either.running(heard) as mq:
        before = await mq.fetchval("SELECT now() - interval '1 s'")
        sent = await mq.send(Note(text="hällo"), priority=Priority.HIGH, headers=headers)
        await eventually(lambda: heard.heard)

    [message] = heard.heard
    assert (message.id, message.id.version, message.topic) == (sent.message_id, 7, "tests.note")
    assert (message.body.text, message.priority) == ("hällo", Priority.HIGH)
    assert (dict(message.headers), message.attempt, message.job_id) == (headers, 1, None)
    assert message.sent_at > before


async def test_a_nul_in_a_body_is_carried_as_it_is(either: Stage) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        await mq.send(Note(text="a\x00b"))
        await eventually(lambda: heard.texts == ["a\x00b"])


# ---------------------------------------------------------------------------------------- checked where it is received


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b'{"count": "many"}', "field count: Input should be a valid integer"),
        (b'{"count": 1, "colour": "red"}', "field colour: Extra inputs are not permitted"),
        (b'{"count": 1', "Invalid JSON"),
        (b"\xff\x00\xfe", "Invalid JSON"),
        (b"", "Invalid JSON"),
    ],
)
async def test_an_invalid_body_is_kept_as_a_dead_letter_and_the_processor_is_not_called(
    either: Stage, body: bytes, complaint: str
) -> None:
    heard = Hearing(Typed)
    async with either.running(heard) as mq:
        await mq.deliver(an_envelope("tests.typed", body=body))
        letter = await mq.dead_letter()

    assert (letter.reason, letter.envelope.body) == ("invalid", body)
    assert complaint in letter.detail
    assert heard.heard == []


async def test_a_message_of_an_unknown_topic_is_a_dead_letter(either: Stage) -> None:
    async with either.running(Hearing()) as mq:
        await mq.deliver(an_envelope("tests.nota", queue=either.queue()))
        letter = await mq.dead_letter()

    assert (letter.reason, letter.envelope.topic) == ("unknown_topic", "tests.nota")
    assert "did you mean tests.note" in letter.detail


async def test_a_message_that_no_processor_takes_from_its_queue_is_a_dead_letter(
    either: Stage,
) -> None:
    async with either.running(Hearing(), sends=[Typed]) as mq:
        await mq.deliver(an_envelope("tests.typed", body=b'{"count": 1}', queue=either.queue()))
        letter = await mq.dead_letter()

    assert letter.reason == "no_processor"
    assert f"no processor takes tests.typed from queue {either.queue()}" in letter.detail


async def test_a_rejected_message_is_a_dead_letter(either: Stage) -> None:
    async with either.running(acting(rejecting)) as mq:
        sent = await mq.send(Note(text="no"), headers={"trace": "t1"})
        letter = await mq.dead_letter()

    assert (letter.reason, letter.envelope.id) == ("rejected", sent.message_id)
    assert (letter.envelope.body, letter.envelope.queue) == (b'{"text":"no"}', either.queue())
    assert letter.envelope.headers == {"trace": "t1"}


async def test_a_message_whose_processor_raised_is_a_dead_letter_at_once(either: Stage) -> None:
    async def act(message: Message[Note], context: Context) -> Result:
        raise LookupError("no such mailbox \x00")

    async with either.running(acting(act)) as mq:
        await mq.send(Note())
        letter = await mq.dead_letter()

    assert (letter.reason, len(mq.ended)) == ("failed", 1)
    assert "LookupError: no such mailbox" in letter.detail
    assert "Traceback" in letter.detail


async def test_a_message_is_tried_as_often_as_its_topic_says_and_is_then_a_dead_letter(
    either: Stage,
) -> None:
    async def act(message: Message[SteadyNote], context: Context) -> Result:
        raise LookupError(f"try {message.attempt}")

    async with either.running(acting(act, SteadyNote)) as mq:
        await mq.send(SteadyNote())
        letter = await mq.dead_letter()

    assert [each.message.attempt for each in mq.ended] == [1, 2]
    assert (letter.reason, letter.envelope.attempt) == ("failed", 2)
    assert "try 2" in letter.detail


async def test_a_processor_that_returns_no_result_has_failed(stage: Stage) -> None:
    async def act(message: Message[Note], context: Context) -> Any:
        return None

    async with stage.running(acting(act)) as mq:
        await mq.send(Note())
        letter = await mq.dead_letter()

    assert letter.reason == "failed"
    assert letter.detail == "the processor returned None: a Result was expected"


async def test_an_expired_message_is_a_dead_letter_and_the_processor_is_not_called(
    either: Stage,
) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        await mq.send(Note(), expires_in=0.01, delay=0.1)
        letter = await mq.dead_letter()

    assert (letter.reason, heard.heard) == ("expired", [])
    assert "it was to be acted on until" in letter.detail


async def test_a_message_that_comes_in_time_is_acted_on(either: Stage) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        await mq.send(Note(text="in time"), expires_in=60)
        await eventually(lambda: heard.texts == ["in time"])


async def test_a_message_in_the_outbox_that_no_queue_takes_is_a_dead_letter(
    either: Stage,
) -> None:
    async with either.running(Hearing()) as mq:
        async with mq.transaction() as connection:
            await mq.send(Note(text="lost"), connection=connection)
            await connection.execute("UPDATE mqjobs.message SET queue = NULL, topic = 'tests.x'")
        letter = await mq.dead_letter()

    assert (letter.reason, letter.envelope.topic) == ("unroutable", "tests.x")


async def test_a_dead_letter_can_be_replayed_and_dropped(either: Stage) -> None:
    results = [Result.REJECT, Result.ACK]

    async def act(message: Message[Note], context: Context) -> Result:
        return results.pop(0)

    async with either.running(acting(act)) as mq:
        await mq.send(Note(text="again"))
        letter = await mq.dead_letter()
        await mq.app.dead.replay(letter.id)
        await mq.attempts(2)
        left = await mq.app.dead.list()
        dropped = await mq.app.dead.drop(letter.id)

    assert (results, list(left), dropped) == ([], [], 0)


# ------------------------------------------------------------------------------------------------------ it comes again


async def test_requeue_brings_the_message_again_with_its_attempt_counted(either: Stage) -> None:
    results = [Result.REQUEUE, Result.REQUEUE, Result.ACK]

    async def act(message: Message[Note], context: Context) -> Result:
        return results.pop(0)

    async with either.running(acting(act)) as mq:
        sent = await mq.send(Note(), headers={"trace": "t1"})
        await mq.attempts(3, sent.message_id)

    assert [each.message.attempt for each in mq.ended] == [1, 2, 3]
    assert [dict(each.message.headers) for each in mq.ended] == [{"trace": "t1"}] * 3


@pytest.mark.parametrize(
    ("outcome", "seconds"),
    [
        (Result.REQUEUE, 77),
        (Redeliver(), 77),
        (Redeliver(after=40), 40),
        (Redeliver(after=timedelta(minutes=5)), 300),
    ],
)
async def test_the_message_comes_again_after_the_time_that_is_named_or_set(
    either: Stage, outcome: Result | Redeliver, seconds: int
) -> None:
    async def act(message: Message[Note], context: Context) -> Result:
        if isinstance(outcome, Redeliver):
            raise outcome
        return outcome

    async with either.running(acting(act), redelivery_delay=77) as mq:
        await mq.send(Note())
        [row] = await mq.parked(Note)

    assert row["attempt"] == 2
    assert seconds - 20 < row["seconds"] <= seconds


def test_redelivery_comes_after_ten_seconds_unless_something_else_is_set() -> None:
    assert Settings().redelivery_delay == timedelta(seconds=10)


# ------------------------------------------------------------------------------------------- priority, delay, buffers


async def test_the_more_urgent_message_goes_first(either: Stage) -> None:
    gate, order = Gate(), list[str]()

    async def act(message: Message[Note], context: Context) -> Result:
        order.append(message.body.text)
        await gate.passed()
        return Result.ACK

    async with either.running(acting(act), concurrency=1, prefetch=1) as mq:
        await mq.send(Note(text="first"))
        await gate.reached()
        for priority in (Priority.VERY_LOW, Priority.VERY_HIGH, Priority.LOW):
            await mq.send(Note(text=priority.name), priority=priority)
        gate.open()
        await eventually(lambda: len(order) == 4)

    assert order[:2] == ["first", "VERY_HIGH"]


async def test_five_priorities_are_kept_apart(stage: Stage) -> None:
    gate, order = Gate(), list[Priority]()

    async def act(message: Message[Note], context: Context) -> Result:
        await gate.passed()
        order.append(message.priority)
        return Result.ACK

    async with stage.running(acting(act), concurrency=1, prefetch=1) as mq:
        await mq.send(Note())
        await gate.reached()
        for priority in (1, 3, 0, 4, 2):
            await mq.send(Note(), priority=Priority(priority))
        gate.open()
        await eventually(lambda: len(order) == 6)

    assert order[1:] == sorted(Priority, reverse=True)


async def test_a_delayed_message_comes_after_its_delay_and_not_before(either: Stage) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        later = await mq.send(Note(text="later"), delay=LATER)
        await mq.send(Note(text="soon"), delay=0.1)
        await mq.send(Note(text="now"))
        await eventually(lambda: sorted(heard.texts) == ["now", "soon"])
        await mq.hasten(later.message_id)
        await eventually(lambda: sorted(heard.texts) == ["later", "now", "soon"])

    soon = next(message for message in heard.heard if message.body.text == "soon")
    assert soon.attempt == 1


async def test_a_buffer_sends_all_at_its_end(either: Stage) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        async with mq.app.producer.buffer() as buffer:
            buffer.add(Note(text="one"))
            buffer.add(Outgoing(Note(text="two"), priority=Priority.HIGH))
            before = list(heard.texts)
        await eventually(lambda: sorted(heard.texts) == ["one", "two"])

    assert before == []
    assert [each.message_id.version for each in buffer.sent] == [7, 7]


async def test_a_buffer_whose_block_raises_sends_nothing(stage: Stage) -> None:
    async with stage.running(Hearing()) as mq:
        with pytest.raises(ZeroDivisionError):
            await raise_in_buffer(mq)
        assert await sent_rows(mq) == 0


async def raise_in_buffer(mq: Running) -> None:
    """Add a note to a buffer, and fail."""
    async with mq.app.producer.buffer() as buffer:
        buffer.add(Note(text="never"))
        raise ZeroDivisionError


async def test_send_many_sends_all_and_says_what_became_of_each(either: Stage) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        sent = await mq.app.producer.send_many(Note(text=str(number)) for number in range(50))
        await eventually(lambda: len(heard.heard) == 50)

    ids = {message.body.text: message.id for message in heard.heard}
    assert [each.message_id for each in sent] == [ids[str(number)] for number in range(50)]


@pytest.mark.parametrize(
    "bad",
    [Note(text="x" * 2000), Unbound(), Outgoing(Note(), delay=-1), Outgoing(Note(), 9)],  # type: ignore[arg-type]
)
async def test_send_many_sends_none_where_one_is_bad(stage: Stage, bad: Topic | Outgoing) -> None:
    async with stage.running(Hearing(), max_message_bytes=1000) as mq:
        with pytest.raises(MessageError):
            await mq.app.producer.send_many([Note(text="good"), bad, Note(text="good")])
        assert await sent_rows(mq) == 0
        assert mq.arrived == []


# ------------------------------------------------------------------------------------ the caller's own transaction


async def test_a_message_sent_in_the_callers_transaction_goes_out_when_that_commits(
    either: Stage,
) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        await mq.execute("CREATE TABLE orders (number integer)")
        async with mq.transaction() as connection:
            await connection.execute("INSERT INTO orders VALUES (7)")
            await mq.send(Note(text="order 7"), connection=connection)
            before = list(heard.texts)
        await eventually(lambda: heard.texts == ["order 7"])

    assert before == []


async def test_a_message_sent_in_a_transaction_that_is_rolled_back_does_not_go_out(
    either: Stage,
) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        with pytest.raises(asyncpg.PostgresError):
            await send_and_fail(mq)
        await mq.send(Note(text="afterwards"))
        await eventually(lambda: heard.texts)
        rows = await mq.outbox(Note)

    assert heard.texts == ["afterwards"]
    assert [json.loads(row["body"]) for row in rows if b"order" in row["body"]] == []


async def send_and_fail(mq: Running) -> None:
    """Send in a transaction that fails."""
    async with mq.transaction() as connection:
        await mq.send(Note(text="order 7"), connection=connection)
        await connection.execute("SELECT 1 / 0")


@pytest.mark.parametrize("has_codec", [False, True])
async def test_a_connection_of_the_callers_own_will_do(either: Stage, has_codec: bool) -> None:
    heard, headers = Hearing(), {"trace": "t1"}
    async with either.running(heard, unique(returning(True))) as mq:
        connection = await asyncpg.connect(either.database_url)
        if has_codec:
            await connection.set_type_codec(
                "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
            )
        async with connection.transaction():
            await mq.send(Note(text="mine"), connection=connection, headers=headers)
            work = await mq.send(Work(), connection=connection, headers=headers)
        await connection.close()
        await eventually(lambda: heard.texts == ["mine"])
        root = await mq.end(work.job_id or 0)

    assert dict(heard.heard[0].headers) == headers
    assert root.status is JobStatus.SUCCESS


async def test_a_connection_that_is_in_no_transaction_is_refused(stage: Stage) -> None:
    async with stage.running(Hearing()) as mq:
        async with mq.app.database.acquire() as connection:
            with pytest.raises(InvalidMessage, match="is in no transaction"):
                await mq.send(Note(), connection=connection)
        assert await sent_rows(mq) == 0


# --------------------------------------------------------------------------------------- topics and who takes them


async def test_every_queue_that_takes_a_topic_gets_the_message(either: Stage) -> None:
    mail, archive = Hearing(queue="mail"), Hearing(queue="archive")
    async with either.running(mail, archive) as mq:
        await mq.send(Note(text="to both"))
        await eventually(lambda: mail.texts == archive.texts == ["to both"])

    assert mail.heard[0].id == archive.heard[0].id


def test_two_processors_of_one_topic_and_queue_are_refused_at_start(stage: Stage) -> None:
    with pytest.raises(ConfigurationError, match=r"Hearing and Acting both take .*'tests.note'"):
        stage.app(Hearing(), acting(rejecting))


async def test_a_message_sent_while_no_consumer_runs_waits_for_one(either: Stage) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        await mq.consumers[0].stopped()
        await mq.send(Note(text="patience"))
        before = list(heard.texts)
        await mq.start_consumer()
        await eventually(lambda: heard.texts == ["patience"])

    assert before == []


async def test_a_processor_can_send_messages_of_its_own(either: Stage) -> None:
    heard = Hearing()
    async with either.running(heard) as mq:
        await mq.inside(lambda _, context: context.producer.send(Note(text="from inside")))
        await eventually(lambda: heard.texts == ["from inside"])
