"""The relay: what is due goes to the broker, and leaves the outbox when the broker has it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.message import Envelope, Outgoing
from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count
from mqjobs.runtime import relay as relay_module
from mqjobs.runtime.relay import Relay
from tests.support.answering import AnsweringTransport
from tests.support.envelopes import an_envelope
from tests.support.surroundings import Surroundings, surroundings
from tests.support.topics import Piece, Work
from tests.support.waiting import eventually

NEVER = timedelta(hours=1)
AT_ONCE = timedelta(milliseconds=10)
LATER = timedelta(hours=1)


def a_relay(around: Surroundings) -> Relay:
    return Relay(around.services, around.transport, around.wake)


async def put(around: Surroundings, *envelopes: Envelope) -> None:
    """Write messages to the outbox."""
    await around.services.store.send(envelopes)


def ids(envelopes: list[Envelope]) -> list[Any]:
    return [envelope.id for envelope in envelopes]


async def test_what_is_due_goes_out_once_and_leaves_the_outbox(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    due, late = an_envelope("tests.note"), an_envelope("tests.note", delay=LATER)
    await put(beside_broker, due, late)
    relay = a_relay(beside_broker)

    assert await relay.carry() == 1
    assert await relay.carry() == 0

    assert ids(broker_answers.published) == [due.id]
    assert [row["message_id"] for row in await beside_broker.outbox()] == [late.id]


async def test_a_message_goes_out_as_it_was_written_to_each_queue_of_its_topic(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    envelope = an_envelope(
        "tests.note", body=b'{"text": "a"}', headers={"tenant": "nord"}, attempt=3, job_id=7
    )
    await put(beside_broker, envelope)

    await a_relay(beside_broker).carry()

    [published] = broker_answers.published
    assert published.queue == "default"
    for field in ("id", "topic", "body", "headers", "attempt", "job_id", "priority", "sent_at"):
        assert getattr(published, field) == getattr(envelope, field), field


async def test_an_empty_outbox_asks_nothing_of_the_broker(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    assert await a_relay(beside_broker).carry() == 0

    assert broker_answers.calls == 0


async def test_while_the_broker_is_away_messages_stay_and_go_out_when_it_is_back(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    envelope, stop = an_envelope("tests.note"), asyncio.Event()
    broker_answers.is_away = True
    await put(beside_broker, envelope)

    async with asyncio.TaskGroup() as group:
        group.create_task(a_relay(beside_broker).run(stop, timedelta(milliseconds=10)))
        await eventually(lambda: broker_answers.calls >= 2)
        assert [row["message_id"] for row in await beside_broker.outbox()] == [envelope.id]
        broker_answers.is_away = False
        await eventually(lambda: broker_answers.published)
        stop.set()

    assert ids(broker_answers.published) == [envelope.id]
    assert not await beside_broker.outbox()


async def test_a_wake_carries_at_once(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    stop = asyncio.Event()

    async with asyncio.TaskGroup() as group:
        group.create_task(a_relay(beside_broker).run(stop, NEVER))
        await put(beside_broker, an_envelope("tests.note"))
        await eventually(lambda: len(broker_answers.published) == 1)
        await put(beside_broker, an_envelope("tests.note"))
        await eventually(lambda: len(broker_answers.published) == 2)
        stop.set()


async def test_full_batches_follow_each_other_without_a_pause(
    beside_broker: Surroundings,
    broker_answers: AnsweringTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "BATCH", 2)
    stop = asyncio.Event()
    await put(beside_broker, *(an_envelope("tests.note") for _ in range(5)))

    async with asyncio.TaskGroup() as group:
        group.create_task(a_relay(beside_broker).run(stop, NEVER))
        await eventually(lambda: len(broker_answers.published) == 5)
        stop.set()

    assert broker_answers.calls == 3


async def test_a_stop_is_heard_between_two_full_batches(
    beside_broker: Surroundings,
    broker_answers: AnsweringTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "BATCH", 2)
    stop = asyncio.Event()

    async def stop_now() -> None:
        stop.set()

    broker_answers.while_publishing = stop_now
    await put(beside_broker, *(an_envelope("tests.note") for _ in range(9)))

    async with asyncio.timeout(10):
        await a_relay(beside_broker).run(stop, NEVER)

    assert broker_answers.calls == 1


async def test_relays_that_meet_share_the_work(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    envelopes = [an_envelope("tests.note") for _ in range(5)]
    await put(beside_broker, *envelopes)
    other_carried: list[int] = []

    async def let_the_other_carry() -> None:
        broker_answers.while_publishing = None
        other_carried.append(await a_relay(beside_broker).carry())

    broker_answers.while_publishing = let_the_other_carry

    assert await a_relay(beside_broker).carry() == 5
    assert other_carried == [0]
    assert sorted(ids(broker_answers.published)) == sorted(ids(envelopes))


async def test_a_relay_that_dies_after_publishing_leaves_the_messages_for_the_next(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    envelope, reached = an_envelope("tests.note"), asyncio.Event()

    async def die() -> None:
        reached.set()
        await asyncio.Event().wait()

    broker_answers.while_publishing = die
    await put(beside_broker, envelope)
    async with asyncio.TaskGroup() as group:
        dying = group.create_task(a_relay(beside_broker).carry())
        await reached.wait()
        dying.cancel()
    broker_answers.while_publishing = None

    assert await a_relay(beside_broker).carry() == 1
    assert ids(broker_answers.published) == [envelope.id]


async def test_a_message_that_the_broker_returns_is_a_dead_letter_and_the_others_go(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    broker_answers.unroutable.add("tests.piece")
    lost, carried = an_envelope("tests.piece"), an_envelope("tests.note")
    await put(beside_broker, lost, carried)

    assert await a_relay(beside_broker).carry() == 2

    assert ids(broker_answers.published) == [carried.id]
    [letter] = await beside_broker.dead_letters()
    assert (letter["message_id"], letter["dead_reason"]) == (lost.id, "unroutable")
    assert "start its consumer, then replay" in letter["dead_detail"]


async def test_the_jobs_of_a_message_that_the_broker_returns_have_ended(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    broker_answers.unroutable |= {"tests.work", "tests.piece"}
    born = await beside_broker.producer.send(Work(job="born"))
    async with beside_broker.splitting() as runner:
        child = await runner.create_delayed("one", Piece())

    await a_relay(beside_broker).carry()

    assert (await beside_broker.job(born.job_id)).status is JobStatus.CANCELLED
    failed = await beside_broker.job(child.id)
    assert (failed.status, failed.error) == (JobStatus.FAILED, "its message is unroutable")


async def test_jobs_end_before_their_message_is_a_dead_letter_so_that_a_crash_leaves_none_behind(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    broker_answers.unroutable.add("tests.piece")
    async with AsyncExitStack() as held:
        async with beside_broker.splitting() as runner:
            child = await runner.create_delayed("one", Outgoing(Piece()))
        await held.enter_async_context(beside_broker.held_up(await beside_broker.job(child.id)))
        async with asyncio.TaskGroup() as group:
            carrying = group.create_task(a_relay(beside_broker).carry())
            await eventually(beside_broker.somebody_waits)
            assert not await beside_broker.dead_letters()
            carrying.cancel()
        assert not await beside_broker.dead_letters()
    await beside_broker.pool.execute("DELETE FROM mqjobs.consumer")

    await a_relay(beside_broker).carry()

    assert (await beside_broker.job(child.id)).status is JobStatus.FAILED
    assert len(await beside_broker.dead_letters()) == 1


async def test_over_postgres_only_messages_without_a_queue_are_the_relays(
    around: Surroundings,
) -> None:
    await put(around, an_envelope("tests.note"), an_envelope("tests.unbound"))

    assert await a_relay(around).carry() == 1

    assert [row["topic"] for row in await around.outbox()] == ["tests.note"]
    assert [row["topic"] for row in await around.dead_letters()] == ["tests.unbound"]


async def test_a_topic_that_found_a_queue_meanwhile_is_carried_after_all(
    database_url: str,
) -> None:
    async with surroundings(database_url) as around:
        await put(around, an_envelope("tests.unbound"))
        await around.pool.execute("INSERT INTO mqjobs.binding VALUES ('tests.unbound', 'late')")

        assert await a_relay(around).carry() == 1

        assert [row["queue"] for row in await around.outbox()] == ["late"]


async def test_a_broker_that_takes_its_time_holds_no_transaction_up_and_nobody_publishes_twice(
    beside_broker: Surroundings,
    broker_answers: AnsweringTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "SLOW", AT_ONCE)
    monkeypatch.setattr(relay_module, "IN_HAND_FOR", LATER)
    envelope, answers = an_envelope("tests.note"), asyncio.Event()
    broker_answers.while_publishing = waits_for(answers)
    await put(beside_broker, envelope)

    async with asyncio.TaskGroup() as group:
        carrying = group.create_task(a_relay(beside_broker).carry())
        await in_hand(beside_broker)
        assert await beside_broker.pool.fetchval(OPEN_TRANSACTIONS) == 0
        assert await a_relay(beside_broker).carry() == 0
        answers.set()

    assert carrying.result() == 1
    assert ids(broker_answers.published) == [envelope.id]
    assert not await beside_broker.outbox()


async def test_messages_stay_in_hand_for_as_long_as_the_broker_takes(
    beside_broker: Surroundings,
    broker_answers: AnsweringTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "SLOW", AT_ONCE)
    monkeypatch.setattr(relay_module, "IN_HAND_FOR", timedelta(seconds=3))
    answers = asyncio.Event()
    broker_answers.while_publishing = waits_for(answers)
    await put(beside_broker, an_envelope("tests.note"))

    async with asyncio.TaskGroup() as group:
        group.create_task(a_relay(beside_broker).carry())
        first = await in_hand(beside_broker)

        async def is_kept_in_hand() -> bool:
            return await in_hand(beside_broker) > first

        await eventually(is_kept_in_hand)
        answers.set()


async def test_a_slow_broker_that_goes_away_leaves_the_messages_due_at_once(
    beside_broker: Surroundings,
    broker_answers: AnsweringTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "SLOW", AT_ONCE)
    envelope, answers = an_envelope("tests.note"), asyncio.Event()
    broker_answers.while_publishing, broker_answers.is_away = waits_for(answers), True
    await put(beside_broker, envelope)

    async with asyncio.TaskGroup() as group:
        carrying = group.create_task(refused(a_relay(beside_broker)))
        await in_hand(beside_broker)
        answers.set()
    assert carrying.result()

    broker_answers.is_away = False
    assert await a_relay(beside_broker).carry() == 1


async def test_a_relay_that_died_with_a_slow_broker_is_followed_by_another_soon(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    await put(beside_broker, an_envelope("tests.note"), an_envelope("tests.note"))
    left = "UPDATE mqjobs.message SET relay_until = now() + $1::interval"
    await beside_broker.pool.execute(left, LATER)
    assert await a_relay(beside_broker).carry() == 0

    await beside_broker.pool.execute(left, -LATER)

    assert await a_relay(beside_broker).carry() == 2


async def test_what_goes_out_and_what_comes_back_is_counted(
    beside_broker: Surroundings, broker_answers: AnsweringTransport
) -> None:
    broker_answers.unroutable.add("tests.piece")
    await put(beside_broker, *(an_envelope(f"tests.{name}") for name in ("note", "piece", "note")))

    await a_relay(beside_broker).carry()

    counts = beside_broker.services.tally.counts()
    assert (counts[Count.PUBLISHED, ""], counts[Count.RETURNED, ""]) == (2, 1)


OPEN_TRANSACTIONS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND state = 'idle in transaction'
"""


def waits_for(answers: asyncio.Event) -> Callable[[], Awaitable[None]]:
    """A broker that answers when this is set."""

    async def wait() -> None:
        await answers.wait()

    return wait


async def in_hand(around: Surroundings) -> datetime:
    """Until when a relay has the message in hand that it still waits for, once it has."""
    found: datetime | None = None

    async def is_in_hand() -> bool:
        nonlocal found
        found = await around.pool.fetchval("SELECT max(relay_until) FROM mqjobs.message")
        return found is not None

    await eventually(is_in_hand)
    assert found is not None
    return found


async def refused(relay: Relay) -> bool:
    """Whether the broker was away."""
    try:
        await relay.carry()
    except BrokerUnavailable:
        return True
    return False
