"""The producer: what send returned from is on its way; what it raised for is not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from mqjobs.model.errors import (
    DatabaseUnavailable,
    InvalidJobName,
    InvalidMessage,
    UnknownTopic,
    Unroutable,
)
from mqjobs.model.message import Outgoing, Sent
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.processing.producer import Producer
from mqjobs.store.job_store import transaction
from tests.support.answering import AnsweringTransport
from tests.support.surroundings import Surroundings, surroundings, through
from tests.support.topics import Note, Piece, Unbound, Work
from tests.support.waiting import eventually
from tests.support.wire import Wire


@pytest.fixture
def answers() -> AnsweringTransport:
    """What the broker answers."""
    return AnsweringTransport()


@pytest.fixture
async def beside_broker(
    database_url: str, answers: AnsweringTransport
) -> AsyncIterator[Surroundings]:
    """Parts whose messages go to a broker."""
    async with surroundings(database_url, transport=lambda _: answers) as opened:
        yield opened


async def nothing_was_sent(around: Surroundings) -> bool:
    return not await around.outbox() and not await around.pool.fetchval(
        "SELECT count(*) FROM mqjobs.job"
    )


async def test_a_plain_message_goes_straight_to_the_broker(
    beside_broker: Surroundings, answers: AnsweringTransport
) -> None:
    sent = await beside_broker.producer.send(
        Note(text="a"), priority=Priority.HIGH, headers={"tenant": "nord"}, expires_in=60
    )

    [envelope] = answers.published
    assert sent == Sent(envelope.id)
    assert (envelope.body, envelope.priority, envelope.headers) == (
        b'{"text":"a"}',
        Priority.HIGH,
        {"tenant": "nord"},
    )
    assert envelope.expires_at is not None
    assert not await beside_broker.outbox()


async def test_while_the_broker_is_away_messages_go_to_the_outbox_and_the_relay_is_woken(
    beside_broker: Surroundings, answers: AnsweringTransport
) -> None:
    answers.is_away = True
    beside_broker.wake.clear()

    sent = await beside_broker.producer.send(Note())

    assert [row["message_id"] for row in await beside_broker.outbox()] == [sent.message_id]
    assert beside_broker.wake.is_set()


async def test_a_message_that_the_broker_returns_is_kept_as_a_dead_letter(
    beside_broker: Surroundings, answers: AnsweringTransport
) -> None:
    answers.unroutable.add("tests.note")

    lost, carried = await beside_broker.producer.send_many([Note(), Piece()])

    [letter] = await beside_broker.dead_letters()
    assert (letter["message_id"], letter["dead_reason"]) == (lost.message_id, "unroutable")
    assert [envelope.id for envelope in answers.published] == [carried.message_id]


async def test_a_message_with_a_delay_waits_in_the_outbox(
    beside_broker: Surroundings, answers: AnsweringTransport
) -> None:
    await beside_broker.producer.send(Note(), delay=timedelta(minutes=5))

    [row] = await beside_broker.outbox()
    assert timedelta(minutes=4) < row["wait"] <= timedelta(minutes=5)
    assert answers.published == []


async def test_a_job_aware_message_is_written_together_with_its_root(
    beside_broker: Surroundings, answers: AnsweringTransport
) -> None:
    beside_broker.wake.clear()

    sent = await beside_broker.producer.send(Work(job="import"))

    root = await beside_broker.job(sent.job_id)
    assert (root.name, root.status, root.owner_id) == (
        "import",
        JobStatus.NEW,
        str(sent.message_id),
    )
    assert [row["message_id"] for row in await beside_broker.outbox()] == [sent.message_id]
    assert answers.published == []
    assert beside_broker.wake.is_set()


async def test_where_an_active_root_has_the_name_nothing_is_sent_and_the_caller_is_told(
    around: Surroundings,
) -> None:
    first = await around.producer.send(Work(job="import"))

    second = await around.producer.send(Work(job="import"))

    assert (second.job_id, second.blocked_by) == (None, first.job_id)
    assert len(await around.outbox()) == 1


async def test_of_two_of_one_name_that_are_sent_together_the_first_blocks_the_second(
    around: Surroundings,
) -> None:
    plain, first, second, other = await around.producer.send_many(
        [Note(), Work(job="b"), Work(job="b"), Work(job="a")]
    )

    assert second.blocked_by == first.job_id is not None
    assert other.job_id is not None
    assert [row["message_id"] for row in await around.outbox()] == [
        plain.message_id,
        first.message_id,
        other.message_id,
    ]


async def test_senders_of_the_same_names_never_wait_for_each_other_in_a_circle(
    around: Surroundings,
) -> None:
    async def send(names: str) -> Any:
        return await around.producer.send_many([Work(job=name) for name in names])

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [group.create_task(send(names)) for names in ("abc", "cba", "bca") * 3]

    sent = [each for task in tasks for each in task.result()]
    assert sum(each.blocked_by is None for each in sent) == 3


@pytest.mark.parametrize(
    ("message", "error", "says"),
    [
        (Outgoing(Note(), delay=-1), InvalidMessage, "delay -1"),
        (Note(text="x" * 20_000), InvalidMessage, "MQJOBS_MAX_MESSAGE_BYTES"),
        (Work(job=""), InvalidJobName, "is empty"),
        (Work(job="x" * 256), InvalidJobName, "256 characters"),
        (Unbound(), Unroutable, "no queue takes tests.unbound: .* nothing was sent"),
        ("a note", InvalidMessage, "is not a message"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_of_several_of_which_one_is_wrong_none_is_sent(
    around: Surroundings, message: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await around.producer.send_many([Work(job="fine"), message])

    assert await nothing_was_sent(around)


async def test_a_topic_that_got_its_queue_later_can_be_sent_then(around: Surroundings) -> None:
    with pytest.raises(Unroutable):
        await around.producer.send(Unbound())
    await around.pool.execute("INSERT INTO mqjobs.binding VALUES ('tests.unbound', 'late')")

    await around.producer.send(Unbound())

    assert [row["queue"] for row in await around.outbox()] == ["late"]


async def test_in_a_transaction_of_the_callers_own_messages_go_out_when_it_commits(
    around: Surroundings, database_url: str
) -> None:
    own = await asyncpg.connect(database_url)
    try:
        async with own.transaction():
            sent = await around.producer.send(Work(), connection=own, headers={"a": "b"})
            assert not await around.outbox()
    finally:
        await own.close()

    assert [row["message_id"] for row in await around.outbox()] == [sent.message_id]
    assert (await around.job(sent.job_id)).status is JobStatus.NEW


async def test_in_a_transaction_that_is_rolled_back_nothing_goes_out(
    around: Surroundings, database_url: str
) -> None:
    own = await asyncpg.connect(database_url)
    undone = own.transaction()
    await undone.start()
    await around.producer.send_many([Work(), Note()], connection=own)
    await undone.rollback()
    await own.close()

    assert await nothing_was_sent(around)


async def test_a_connection_without_a_transaction_is_refused(around: Surroundings) -> None:
    async with around.pool.acquire() as own:
        with pytest.raises(InvalidMessage, match="is in no transaction: open one"):
            await around.producer.send(Note(), connection=own)

    assert await nothing_was_sent(around)


async def test_a_message_may_be_sent_by_name_from_fields_or_json(around: Surroundings) -> None:
    await around.producer.send_raw("tests.note", {"text": "a"}, priority=Priority.LOW)
    await around.producer.send_raw("tests.note", '{"text": "b"}')

    assert [(row["body"], row["priority"]) for row in await around.outbox()] == [
        (b'{"text":"a"}', 1),
        (b'{"text":"b"}', 2),
    ]


@pytest.mark.parametrize(
    ("topic", "fields", "error", "says"),
    [
        ("tests.noet", {}, UnknownTopic, "did you mean tests.note"),
        ("tests.note", {"color": "red"}, InvalidMessage, "field color"),
        ("tests.note", "{", InvalidMessage, "Invalid JSON"),
    ],
)
async def test_what_is_sent_by_name_is_checked_like_all_else(
    around: Surroundings, topic: str, fields: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await around.producer.send_raw(topic, fields)

    assert await nothing_was_sent(around)


async def test_a_buffer_is_sent_at_the_end_of_its_block_all_together(around: Surroundings) -> None:
    async with around.producer.buffer() as buffer:
        buffer.add(Note(text="a"))
        buffer.add(Outgoing(Work(), priority=Priority.HIGH))
        assert await nothing_was_sent(around)

    assert [sent.job_id is None for sent in buffer.sent] == [True, False]
    assert len(await around.outbox()) == 2


async def test_a_buffer_whose_block_raises_sends_nothing(around: Surroundings) -> None:
    async def fail() -> None:
        async with around.producer.buffer() as buffer:
            buffer.add(Note())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await nothing_was_sent(around)


async def test_an_empty_buffer_sends_nothing(around: Surroundings) -> None:
    async with around.producer.buffer() as buffer:
        pass

    assert buffer.sent == []


@pytest.mark.parametrize("message", [Note(), Work(), Outgoing(Note(), delay=5)])
async def test_while_the_database_is_away_send_says_so_when_patience_is_over(
    database_url: str, message: Any
) -> None:
    async with (
        Wire.to(database_url) as wire,
        surroundings(through(wire, database_url), patience=timedelta(0)) as around,
    ):
        wire.tear()

        with pytest.raises(DatabaseUnavailable, match="PostgreSQL is away"):
            await around.producer.send_many([message])


async def test_a_plain_message_needs_no_database_once_its_queue_is_known(
    database_url: str, answers: AnsweringTransport
) -> None:
    async with Wire.to(database_url) as wire:
        far = surroundings(
            through(wire, database_url), transport=lambda _: answers, patience=timedelta(0)
        )
        async with far as around:
            producer: Producer = around.producer
            await producer.send(Note())
            wire.tear()

            await producer.send(Note())

    assert len(answers.published) == 2


async def quiet_roots(around: Surroundings, *names: str) -> list[int]:
    """Active roots of these names that give them up to whoever asks."""
    ids = [(await around.root(name)).id for name in names]
    await around.pool.execute("UPDATE mqjobs.job SET last_active_at = now() - interval '1 day'")
    return ids


async def send_works(around: Surroundings, *names: str) -> list[Sent]:
    """One message of each of these names, in a transaction of the caller's own."""
    async with around.pool.acquire() as connection, connection.transaction():
        works = [Work(job=name) for name in names]
        return list(await around.producer.send_many(works, connection=connection))


async def test_roots_that_give_up_their_names_are_locked_in_the_order_of_their_ids(
    around: Surroundings,
) -> None:
    first, second = await quiet_roots(around, "z", "a")
    lock = "SELECT FROM mqjobs.job WHERE id = $1 FOR UPDATE NOWAIT"

    async with asyncio.TaskGroup() as group, transaction(around.pool) as connection:
        await connection.execute(lock, first)
        sending = group.create_task(send_works(around, "a", "z"))
        await eventually(around.somebody_waits)
        await connection.execute(lock, second)

    assert all(sent.job_id for sent in sending.result())


async def test_senders_of_the_same_names_in_any_order_never_wait_for_each_other_in_a_circle(
    around: Surroundings,
) -> None:
    names = [f"work {number}" for number in range(6)]
    await quiet_roots(around, *names)

    async with asyncio.TaskGroup() as group:
        senders = [
            group.create_task(send_works(around, *order))
            for order in (names, names[::-1], names[3:] + names[:3])
        ]

    sent = [each for sender in senders for each in sender.result()]
    assert sum(each.job_id is not None for each in sent) == len(names)
    assert sum(each.blocked_by is not None for each in sent) == 2 * len(names)
