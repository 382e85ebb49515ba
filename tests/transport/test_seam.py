"""What every transport does, whichever it is."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from mqjobs.model.message import Binding
from mqjobs.model.priority import Priority
from mqjobs.transport.seam import Delivery, Inbox, Publication, Transport
from tests.support.envelopes import an_envelope
from tests.support.waiting import eventually
from tests.transport.conftest import Carrier

DEADLINE = 20


async def take(inbox: Inbox, count: int, *, within: float = DEADLINE) -> list[Delivery]:
    """The next deliveries of an inbox, so many."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(within):
        async for delivery in inbox.deliveries():
            deliveries.append(delivery)
            if len(deliveries) == count:
                break
    return deliveries


async def ready(transport: Transport, queue: str) -> int:
    """How many messages wait in a queue."""
    return sum(state.ready for state in await transport.queue_states([queue]))


async def holds(transport: Transport, queue: str, *, ready: int) -> bool:
    """Whether so many messages wait in a queue."""
    return sum(state.ready for state in await transport.queue_states([queue])) == ready


async def is_empty(transport: Transport, queue: str) -> bool:
    """Whether nothing waits in a queue and nobody has anything of it."""
    [state] = await transport.queue_states([queue])
    return state.ready == 0 and not state.unacknowledged


async def test_what_is_published_arrives_with_all_that_it_says(carrier: Carrier) -> None:
    queue = carrier.queue("fields")
    envelope = an_envelope(
        body='{"name": "Ωμέγα – 🐇"}'.encode(),
        priority=Priority.HIGH,
        headers={"tenant": "nord", "x-trace": "ü", "CC": "not a carbon copy", "mqjobs-mine": "1"},
        attempt=7,
        job_id=2**40,
        sent_at=datetime(2031, 5, 17, 3, 4, 5, 678901, tzinfo=UTC),
        expires_at=datetime(2032, 1, 1, microsecond=5, tzinfo=UTC),
    )
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, envelope.topic)])
        assert await transport.publish([envelope]) == [Publication.CONFIRMED]
        async with transport.inbox([queue], prefetch=10, consumer_id=uuid7()) as inbox:
            [delivery] = await take(inbox, 1)
    arrived = delivery.envelope
    assert arrived.queue == queue
    assert not delivery.redelivered
    for field in (
        "id", "topic", "body", "priority", "headers", "attempt", "job_id", "sent_at", "expires_at"
    ):  # fmt: skip
        assert getattr(arrived, field) == getattr(envelope, field), field


@pytest.mark.parametrize("body", [b"", b"{not json", b"\xff\xfe\x00\x01", b"x" * 500_000])
async def test_a_body_is_not_looked_into(carrier: Carrier, body: bytes) -> None:
    queue = carrier.queue("bytes")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t", body=body)])
        async with transport.inbox([queue], prefetch=1, consumer_id=uuid7()) as inbox:
            [delivery] = await take(inbox, 1)
            inbox.ack(delivery)
    assert delivery.envelope.body == body


async def test_the_urgent_come_first_and_equals_in_order(carrier: Carrier) -> None:
    queue = carrier.queue("priorities")
    sent = [
        an_envelope("t", priority=priority, headers={"place": str(place)})
        for place in range(3)
        for priority in Priority
    ]
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        for envelope in sent:
            await transport.publish([envelope])
        async with transport.inbox([queue], prefetch=1, consumer_id=uuid7()) as inbox:
            arrived = []
            async for delivery in inbox.deliveries():
                arrived.append((delivery.envelope.priority, delivery.envelope.headers["place"]))
                inbox.ack(delivery)
                if len(arrived) == len(sent):
                    break
    assert arrived == [
        (priority, str(place)) for priority in sorted(Priority, reverse=True) for place in range(3)
    ]


async def test_topics_share_a_queue_and_a_topic_goes_to_every_queue_bound_to_it(
    carrier: Carrier,
) -> None:
    here, there = carrier.queue("here"), carrier.queue("there")
    async with carrier.open() as transport:
        await transport.declare([Binding(here, "a"), Binding(here, "b"), Binding(there, "b")])
        await transport.declare([Binding(here, "a")])
        await transport.publish([an_envelope("a"), an_envelope("b")])
        async with transport.inbox([here], prefetch=9, consumer_id=uuid7()) as inbox:
            arrived_here = await take(inbox, 2)
        async with transport.inbox([there], prefetch=9, consumer_id=uuid7()) as inbox:
            arrived_there = await take(inbox, 1)
    assert sorted(one.envelope.topic for one in arrived_here) == ["a", "b"]
    assert [one.envelope.topic for one in arrived_there] == ["b"]


async def test_a_message_for_one_queue_goes_to_that_queue_alone(carrier: Carrier) -> None:
    here, there = carrier.queue("here"), carrier.queue("there")
    async with carrier.open() as transport:
        await transport.declare([Binding(here, "t"), Binding(there, "t")])
        await transport.publish([an_envelope("t", queue=there)])
        async with transport.inbox([there], prefetch=1, consumer_id=uuid7()) as inbox:
            [delivery] = await take(inbox, 1)
            inbox.ack(delivery)
        assert await ready(transport, here) == 0
    assert delivery.envelope.topic == "t"


async def test_copies_of_one_message_for_several_queues_are_told_apart(carrier: Carrier) -> None:
    queue = carrier.queue("copies")
    envelope = an_envelope("t")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        published = await transport.publish(
            [
                envelope.again(queue, timedelta(0), attempt=1),
                an_envelope("nobody.is.bound", id=envelope.id),
                envelope.again(queue, timedelta(0), attempt=2),
            ]
        )
        await eventually(lambda: holds_two(transport, queue))
    assert published == [Publication.CONFIRMED, Publication.UNROUTABLE, Publication.CONFIRMED]


async def holds_two(transport: Transport, queue: str) -> bool:
    return await ready(transport, queue) == 2


async def test_a_topic_that_nobody_is_bound_to_is_unroutable(carrier: Carrier) -> None:
    queue = carrier.queue("bound")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "bound")])
        published = await transport.publish(
            [an_envelope("unbound"), an_envelope("bound"), an_envelope("unbound")]
        )
    assert published == [Publication.UNROUTABLE, Publication.CONFIRMED, Publication.UNROUTABLE]


async def test_nothing_is_published_in_no_time(carrier: Carrier) -> None:
    async with carrier.open() as transport:
        assert list(await transport.publish([])) == []


async def test_what_is_acknowledged_is_gone_and_what_is_not_comes_again(carrier: Carrier) -> None:
    queue = carrier.queue("acks")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t", body=b"%d" % n) for n in range(5)])
        async with transport.inbox([queue], prefetch=10, consumer_id=uuid7()) as inbox:
            deliveries = await take(inbox, 5)
            inbox.ack(deliveries[1])
            inbox.ack(deliveries[3])
        async with transport.inbox([queue], prefetch=10, consumer_id=uuid7()) as inbox:
            again = await take(inbox, 3)
            for delivery in again:
                inbox.ack(delivery)
        assert await is_empty(transport, queue)
    assert sorted(one.envelope.body for one in again) == [b"0", b"2", b"4"]
    assert all(one.redelivered for one in again)


async def test_acknowledging_does_not_wait_for_the_end(carrier: Carrier) -> None:
    queue = carrier.queue("soon")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t") for _ in range(6)])
        async with transport.inbox([queue], prefetch=3, consumer_id=uuid7()) as inbox:
            slow, *others = await take(inbox, 3)
            for delivery in others:
                inbox.ack(delivery)
            more = await take(inbox, 2)
            for delivery in more:
                inbox.ack(delivery)
            [last] = await take(inbox, 1)
            inbox.ack(slow)
            inbox.ack(last)
        await eventually(lambda: is_empty(transport, queue))


async def test_what_is_given_back_comes_again(carrier: Carrier) -> None:
    queue = carrier.queue("back")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t")])
        async with transport.inbox([queue], prefetch=10, consumer_id=uuid7()) as inbox:
            [first] = await take(inbox, 1)
            inbox.give_back(first)
            [second] = await take(inbox, 1)
            inbox.ack(second)
        assert await is_empty(transport, queue)
    assert first.envelope == second.envelope
    assert second.redelivered


async def test_settling_a_delivery_twice_does_no_harm(carrier: Carrier) -> None:
    queue = carrier.queue("twice")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t"), an_envelope("t")])
        async with transport.inbox([queue], prefetch=1, consumer_id=uuid7()) as inbox:
            [first] = await take(inbox, 1)
            inbox.ack(first)
            inbox.ack(first)
            inbox.give_back(first)
            [second] = await take(inbox, 1)
            inbox.ack(second)
        assert await is_empty(transport, queue)


async def test_an_acknowledgement_after_the_inbox_has_gone_is_forgotten(carrier: Carrier) -> None:
    queue = carrier.queue("late")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t")])
        async with transport.inbox([queue], prefetch=1, consumer_id=uuid7()) as inbox:
            [delivery] = await take(inbox, 1)
        inbox.ack(delivery)
        assert await ready(transport, queue) == 1


@pytest.mark.parametrize("names", [("one",), ("one", "two", "three")])
async def test_no_more_than_prefetch_are_out(carrier: Carrier, names: Sequence[str]) -> None:
    queues = [carrier.queue(name) for name in names]
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t") for queue in queues])
        await transport.publish([an_envelope("t") for _ in range(10)])
        async with transport.inbox(queues, prefetch=4, consumer_id=uuid7()) as inbox:
            out = await take(inbox, 4)
            with pytest.raises(TimeoutError):
                await take(inbox, 1, within=0.3)
            inbox.ack(out[2])
            await take(inbox, 1)


async def test_closing_ends_the_deliveries_and_gives_back_what_nobody_took(
    carrier: Carrier,
) -> None:
    queue = carrier.queue("closing")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t") for _ in range(10)])
        async with transport.inbox([queue], prefetch=8, consumer_id=uuid7()) as inbox:
            out = await take(inbox, 3)
            await inbox.close()
            rest = [delivery async for delivery in inbox.deliveries()]
            await eventually(lambda: holds(transport, queue, ready=7))
            for delivery in out:
                inbox.ack(delivery)
        assert await ready(transport, queue) == 7
        assert rest == []


async def test_closing_wakes_who_waits_for_deliveries(carrier: Carrier) -> None:
    queue = carrier.queue("waiting")

    async def consume(deliveries: AsyncIterator[Delivery]) -> None:
        async for _ in deliveries:
            pytest.fail("nothing was sent")

    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with (
            transport.inbox([queue], prefetch=1, consumer_id=uuid7()) as inbox,
            asyncio.timeout(DEADLINE),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(consume(inbox.deliveries()))
            await inbox.close()
            await inbox.close()


async def test_two_inboxes_share_the_messages_and_each_comes_once(carrier: Carrier) -> None:
    queue, total = carrier.queue("many"), 2_000
    seen: Counter[bytes] = Counter()

    async def consume(inbox: Inbox) -> None:
        async for delivery in inbox.deliveries():
            seen[delivery.envelope.body] += 1
            inbox.ack(delivery)

    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t", body=b"%d" % n) for n in range(total)])
        async with (
            transport.inbox([queue], prefetch=50, consumer_id=uuid7()) as one,
            transport.inbox([queue], prefetch=50, consumer_id=uuid7()) as two,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(consume(one))
            group.create_task(consume(two))
            await eventually(lambda: len(seen) == total)
            await one.close()
            await two.close()
        assert await is_empty(transport, queue)
    assert set(seen.values()) == {1}


async def test_a_thousand_are_published_at_once(carrier: Carrier) -> None:
    queue = carrier.queue("thousand")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(transport.publish([an_envelope("t") for _ in range(50)]))
                for _ in range(20)
            ]
        assert {one for task in tasks for one in task.result()} == {Publication.CONFIRMED}
        assert await ready(transport, queue) == 1_000


async def test_a_paused_queue_gives_its_deliveries_back_and_others_go_on(carrier: Carrier) -> None:
    paused, other = carrier.queue("paused"), carrier.queue("other")
    async with carrier.open() as transport:
        await transport.declare([Binding(paused, "t"), Binding(other, "u")])
        await transport.publish([an_envelope("t") for _ in range(6)])
        async with transport.inbox([paused, other], prefetch=4, consumer_id=uuid7()) as inbox:
            [out] = await take(inbox, 1)
            inbox.pause({paused})
            await eventually(lambda: holds(transport, paused, ready=5))

            await transport.publish([an_envelope("t"), an_envelope("u"), an_envelope("u")])
            others = await take(inbox, 2)
            assert [delivery.envelope.topic for delivery in others] == ["u", "u"]
            inbox.ack(out)
            for delivery in others:
                inbox.give_back(delivery)
            assert [one.envelope.queue for one in await take(inbox, 2)] == [other, other]
            assert await ready(transport, paused) == 6

            inbox.pause(frozenset())
            assert {one.envelope.queue for one in await take(inbox, 2)} == {paused}


async def test_what_was_out_when_its_queue_was_paused_can_be_given_back(carrier: Carrier) -> None:
    queue = carrier.queue("returned")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t"), an_envelope("t")])
        async with transport.inbox([queue], prefetch=2, consumer_id=uuid7()) as inbox:
            for delivery in await take(inbox, 2):
                inbox.pause({queue})
                inbox.give_back(delivery)
            await eventually(lambda: holds(transport, queue, ready=2))
            inbox.pause(frozenset())
            assert len(await take(inbox, 2)) == 2


async def test_a_queue_that_is_paused_from_the_beginning_gives_nothing(carrier: Carrier) -> None:
    paused, other = carrier.queue("quiet"), carrier.queue("busy")
    async with carrier.open() as transport:
        await transport.declare([Binding(paused, "t"), Binding(other, "u")])
        await transport.publish([an_envelope("t", priority=Priority.VERY_HIGH)])
        opened = transport.inbox(
            [paused, other], prefetch=4, consumer_id=uuid7(), paused=frozenset({paused})
        )
        async with opened as inbox:
            await transport.publish([an_envelope("u")])
            [delivery] = await take(inbox, 1)
            assert delivery.envelope.queue == other
            [state] = await transport.queue_states([paused])
            assert (state.ready, state.unacknowledged or 0) == (1, 0)


async def test_pausing_and_resuming_at_once_loses_nothing(carrier: Carrier) -> None:
    queue = carrier.queue("flickering")
    async with carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        sent = [an_envelope("t") for _ in range(200)]
        await transport.publish(sent)
        arrived: Counter[object] = Counter()
        async with transport.inbox([queue], prefetch=20, consumer_id=uuid7()) as inbox:
            while len(arrived) < len(sent):
                inbox.pause({queue})
                inbox.pause(frozenset())
                for delivery in await take(inbox, 10):
                    arrived[delivery.envelope.id] += 1
                    inbox.ack(delivery)
        assert set(arrived) == {envelope.id for envelope in sent}
        assert await is_empty(transport, queue)
    assert set(arrived.values()) == {1}


async def test_queues_say_how_full_they_are_and_absent_ones_nothing(carrier: Carrier) -> None:
    full, empty = carrier.queue("full"), carrier.queue("empty")
    async with carrier.open() as transport:
        await transport.declare([Binding(full, "t"), Binding(empty, "u")])
        await transport.publish([an_envelope("t") for _ in range(3)])
        async with asyncio.timeout(DEADLINE):
            states = await transport.queue_states([full, carrier.queue("absent"), empty])
    assert [(state.name, state.ready, state.consumers) for state in states] == [
        (full, 3, 0),
        (empty, 0, 0),
    ]


async def test_an_error_of_the_block_comes_out_as_it_is(carrier: Carrier) -> None:
    async def fail_inside() -> None:
        async with carrier.open() as transport:
            await transport.declare([Binding(queue, "t")])
            async with transport.inbox([queue], prefetch=1, consumer_id=uuid7()):
                raise ZeroDivisionError

    queue = carrier.queue("error")
    with pytest.raises(ZeroDivisionError):
        await fail_inside()
