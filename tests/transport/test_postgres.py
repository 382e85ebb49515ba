"""What is true of the Postgres transport alone: delays, the tables behind it, losing the database."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.model.message import Binding
from mqjobs.model.priority import Priority
from mqjobs.store.consumers import reap
from mqjobs.store.database import Pool, open_pool
from mqjobs.store.messages import insert_messages
from mqjobs.store.queues import take_messages
from mqjobs.transport.postgres import PostgresTransport, open_postgres
from mqjobs.transport.seam import Delivery, Inbox, Publication
from tests.support.envelopes import an_envelope
from tests.support.waiting import eventually
from tests.support.wire import Wire

NEVER_BY_ITSELF = timedelta(hours=1)
DEADLINE = 20


@asynccontextmanager
async def opened(
    database_url: str, *, poll_interval: timedelta = timedelta(milliseconds=50)
) -> AsyncIterator[tuple[Pool, PostgresTransport]]:
    """A pool and the transport over it, with one queue for one topic."""
    async with (
        open_pool(database_url) as pool,
        open_postgres(pool, poll_interval=poll_interval) as transport,
    ):
        await transport.declare([Binding("q", "t")])
        yield pool, transport


async def next_of(inbox: Inbox) -> Delivery:
    """The next delivery of an inbox."""
    async with asyncio.timeout(DEADLINE):
        return await anext(inbox.deliveries())


async def count(pool: Pool, condition: str = "true") -> int:
    """How many rows there are in the message table."""
    found: int = await pool.fetchval(f"SELECT count(*) FROM mqjobs.message WHERE {condition}")
    return found


async def test_a_delayed_message_comes_when_it_is_due(database_url: str) -> None:
    async with opened(database_url) as (_, transport):
        async with transport.inbox(["q"], prefetch=5, consumer_id=uuid7()) as inbox:
            loop = asyncio.get_running_loop()
            sent_at = loop.time()
            await transport.publish(
                [
                    an_envelope("t", body=b"later", delay=timedelta(seconds=0.5)),
                    an_envelope("t", body=b"now"),
                ]
            )
            assert (await next_of(inbox)).envelope.body == b"now"
            assert (await next_of(inbox)).envelope.body == b"later"
            assert loop.time() - sent_at >= 0.5
        [state] = await transport.queue_states(["q"])
        assert state.ready == 2


async def test_what_this_process_publishes_comes_without_polling(database_url: str) -> None:
    async with (
        opened(database_url, poll_interval=NEVER_BY_ITSELF) as (_, transport),
        transport.inbox(["q"], prefetch=1, consumer_id=uuid7()) as inbox,
    ):
        for _ in range(3):
            await transport.publish([an_envelope("t")])
            inbox.ack(await next_of(inbox))


async def test_an_inbox_that_is_woken_looks_at_once(database_url: str) -> None:
    async with (
        opened(database_url, poll_interval=NEVER_BY_ITSELF) as (pool, transport),
        transport.inbox(["q"], prefetch=1, consumer_id=uuid7()) as inbox,
    ):
        async with pool.acquire() as connection:
            await insert_messages(connection, [an_envelope("t"), an_envelope("t")])
        transport.wake()
        inbox.ack(await next_of(inbox))
        inbox.ack(await next_of(inbox))


async def test_nothing_is_written_for_a_topic_that_nobody_is_bound_to(database_url: str) -> None:
    async with opened(database_url) as (pool, transport):
        assert await transport.publish([an_envelope("nobody")]) == [Publication.UNROUTABLE]
        assert await count(pool) == 0


async def test_a_message_that_cannot_be_written_fails_alone(database_url: str) -> None:
    async with opened(database_url) as (pool, transport):
        async with asyncio.TaskGroup() as group:
            bad = group.create_task(fails(transport))
            good = [group.create_task(transport.publish([an_envelope("t")])) for _ in range(5)]
        assert bad.result() is True
        assert all(task.result() == [Publication.CONFIRMED] for task in good)
        assert await count(pool) == 5


async def fails(transport: PostgresTransport) -> bool:
    """Publish what PostgreSQL cannot keep."""
    with pytest.raises(asyncpg.DataError):
        await transport.publish([an_envelope("t", headers={"nul": "\x00"})])
    return True


async def test_no_row_is_left_when_all_is_acknowledged(database_url: str) -> None:
    async with opened(database_url) as (pool, transport):
        await transport.publish([an_envelope("t") for _ in range(20)])
        async with transport.inbox(["q"], prefetch=3, consumer_id=uuid7()) as inbox:
            for _ in range(20):
                inbox.ack(await next_of(inbox))
            await eventually(lambda: is_empty(pool))


async def is_empty(pool: Pool) -> bool:
    return await count(pool) == 0


async def test_never_more_than_prefetch_rows_are_taken(database_url: str) -> None:
    most = 0
    async with opened(database_url) as (pool, transport):
        await transport.publish([an_envelope("t") for _ in range(60)])
        async with transport.inbox(["q"], prefetch=4, consumer_id=uuid7()) as inbox:
            for place in range(60):
                delivery = await next_of(inbox)
                most = max(most, await count(pool, "consumer_id IS NOT NULL"))
                (inbox.give_back if place % 7 == 0 else inbox.ack)(delivery)
    assert most == 4


async def test_a_row_that_a_reaper_gave_to_another_is_not_acknowledged(database_url: str) -> None:
    dead, heir = uuid7(), uuid7()
    async with opened(database_url) as (pool, transport):
        await transport.publish([an_envelope("t")])
        async with transport.inbox(["q"], prefetch=1, consumer_id=dead) as inbox:
            delivery = await next_of(inbox)
            async with pool.acquire() as connection:
                await reap(connection, crashes_allowed=3)
                await take_all(pool, heir)
            inbox.ack(delivery)
        [owner] = [row["consumer_id"] for row in await pool.fetch("TABLE mqjobs.message")]
        assert owner == heir


async def take_all(pool: Pool, consumer_id: UUID) -> None:
    """Take what is free, as another consumer."""
    async with pool.acquire() as connection:
        assert await take_messages(connection, ["q"], consumer_id=consumer_id, limit=100)


async def test_queues_of_equal_urgency_take_turns(database_url: str) -> None:
    async with opened(database_url) as (_, transport):
        await transport.declare([Binding("r", "u")])
        await transport.publish([an_envelope("t") for _ in range(20)])
        await transport.publish([an_envelope("u") for _ in range(5)])
        async with transport.inbox(["q", "r"], prefetch=1, consumer_id=uuid7()) as inbox:
            first = []
            for _ in range(10):
                delivery = await next_of(inbox)
                first.append(delivery.envelope.queue)
                inbox.ack(delivery)
    assert first.count("r") >= 4


async def test_an_urgent_message_passes_what_waits_in_the_inbox(database_url: str) -> None:
    async with opened(database_url) as (pool, transport):
        await transport.publish([an_envelope("t", priority=Priority.LOW) for _ in range(10)])
        async with transport.inbox(["q"], prefetch=5, consumer_id=uuid7()) as inbox:
            first = await next_of(inbox)
            await transport.publish([an_envelope("t", priority=Priority.VERY_HIGH)])
            inbox.ack(first)
            await eventually(lambda: is_taken(pool, Priority.VERY_HIGH))
            assert (await next_of(inbox)).envelope.priority is Priority.VERY_HIGH


async def is_taken(pool: Pool, priority: Priority) -> bool:
    return await count(pool, f"priority = {priority:d} AND consumer_id IS NOT NULL") == 1


async def test_an_inbox_goes_on_when_its_connections_are_ended(database_url: str) -> None:
    seen: list[bytes] = []

    async def consume(inbox: Inbox) -> None:
        async for delivery in inbox.deliveries():
            seen.append(delivery.envelope.body)
            inbox.ack(delivery)

    async with opened(database_url, poll_interval=timedelta(milliseconds=5)) as (_, transport):
        observer = await asyncpg.connect(database_url)
        async with (
            transport.inbox(["q"], prefetch=10, consumer_id=uuid7()) as inbox,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(consume(inbox))
            for number in range(200):
                await transport.publish([an_envelope("t", body=b"%d" % number)])
                if number % 40 == 20:
                    await end_other_connections(observer)
            await eventually(lambda: len(set(seen)) == 200)
            await inbox.close()
        assert await observer.fetchval("SELECT count(*) FROM mqjobs.message") == 0
        await observer.close()


async def end_other_connections(
    observer: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await observer.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def test_an_outage_is_told_once_and_what_was_settled_meanwhile_is_written(
    database_url: str,
) -> None:
    name = urlsplit(database_url).path
    async with Wire.to(database_url) as wire:
        wired_url = f"postgresql://postgres:@127.0.0.1:{wire.port}{name}"
        async with opened(wired_url) as (pool, transport):
            await transport.publish([an_envelope("t") for _ in range(6)])
            with capture_logs() as logs:
                async with transport.inbox(["q"], prefetch=4, consumer_id=uuid7()) as inbox:
                    deliveries = [await next_of(inbox) for _ in range(3)]
                    wire.tear()
                    for delivery in deliveries:
                        inbox.ack(delivery)
                    await eventually(lambda: "database_away" in events(logs))
                    with pytest.raises(DatabaseUnavailable):
                        await transport.queue_states(["q"])
                    wire.mend()
                    for _ in range(3):
                        inbox.ack(await next_of(inbox))
                await eventually(lambda: "database_back" in events(logs))
            assert await count(pool) == 0
    assert events(logs).count("database_away") == 1
    assert events(logs).count("database_back") == 1


def events(logs: Sequence[Mapping[str, object]]) -> list[object]:
    """What was told."""
    return [entry["event"] for entry in logs]


async def test_what_was_taken_while_the_answer_was_lost_comes_all_the_same(
    database_url: str,
) -> None:
    ours = uuid7()
    async with opened(database_url) as (pool, transport):
        await transport.publish([an_envelope("t")])
        await take_all(pool, ours)
        async with transport.inbox(["q"], prefetch=4, consumer_id=ours) as inbox:
            inbox._is_away = True
            delivery = await next_of(inbox)
            inbox.ack(delivery)
        assert delivery.redelivered
        assert await count(pool) == 0


async def test_a_consumer_that_leaves_keeps_nothing(database_url: str) -> None:
    ours, other = uuid7(), uuid7()
    async with opened(database_url) as (pool, transport):
        await transport.publish([an_envelope("t") for _ in range(6)])
        async with pool.acquire() as connection:
            await take_messages(connection, ["q"], consumer_id=other, limit=1)
        async with transport.inbox(["q"], prefetch=3, consumer_id=ours) as inbox:
            await next_of(inbox)
        taken = await pool.fetch(
            "SELECT consumer_id FROM mqjobs.message WHERE consumer_id IS NOT NULL"
        )
        assert [row["consumer_id"] for row in taken] == [other]
