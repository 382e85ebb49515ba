"""The database as a state machine needs it: calls that wait, time that passes, consumers that fall silent."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from mqjobs.model.errors import MqjobsError
from mqjobs.model.message import Binding, Envelope
from mqjobs.model.stopped import RootJobStopped
from mqjobs.model.topic import definition_of
from mqjobs.store import consumers, outbox
from mqjobs.store.consumers import ConsumerInfo
from mqjobs.store.database import Connection, Pool, open_pool
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.messages import bind
from mqjobs.store.reconciling import reconcile
from tests.support.waiting import eventually

AnswerT = TypeVar("AnswerT")
Call = Callable[[Connection], Awaitable[AnswerT]]

CRASHES_ALLOWED = 2
ALIVE_FOR = timedelta(hours=1)
ENDS = definition_of(RootJobStopped).name
OWN, CHILD, AFTER = "tests.own", "tests.child", "tests.after"

TABLES = "mqjobs.job, mqjobs.message, mqjobs.dependent_message, mqjobs.consumer"


@dataclass(frozen=True)
class Rows:
    """What is in the database between two calls; `due` has left the outbox with this look, `repairs` made."""

    jobs: Sequence[asyncpg.Record]
    outbox: Sequence[asyncpg.Record]
    dependents: Sequence[asyncpg.Record]
    due: Sequence[Envelope]
    repairs: Sequence[str]


class Bench:
    """A database, and the event loop in which it is spoken to; each call waits until its transaction is committed."""

    def __init__(self, runner: asyncio.Runner, pool: Pool) -> None:
        self._runner = runner
        self._pool = pool

    def act(self, call: Call[AnswerT]) -> AnswerT:
        """The answer of a call in a transaction of its own."""
        return self._runner.run(self._in_transaction(call))

    def race(self, calls: Sequence[Call[AnswerT]]) -> list[AnswerT]:
        """The answers of calls that run at the same time, each on a connection of its own."""
        return self._runner.run(_together([self._in_transaction(call) for call in calls]))

    def overtake(self, first: Call[Any], second: Call[Any]) -> tuple[Any, Any]:
        """The answers of two calls, or what they raised; the second gets as far as it can before the first commits."""
        return self._runner.run(self._overtaken(first, second))

    def meet(self, ask: Callable[[JobStore], Sequence[Awaitable[AnswerT]]]) -> list[AnswerT]:
        """The answers of calls that meet in a job store, and so share a transaction."""

        async def meeting() -> list[AnswerT]:
            store = JobStore(self._pool, crashes_allowed=CRASHES_ALLOWED, wake=lambda: None)
            async with asyncio.TaskGroup() as group:
                group.create_task(store.run())
                try:
                    return await _together(ask(store))
                finally:
                    await store.close(ALIVE_FOR)

        return self._runner.run(meeting())

    def begin(self, consumer_ids: Sequence[UUID]) -> None:
        """Nothing is there but these consumers, alive, and the queues' bindings."""

        async def write(connection: Connection) -> None:
            await connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY")
            await bind(connection, [Binding(topic, topic) for topic in (OWN, CHILD, AFTER, ENDS)])
            for consumer_id in consumer_ids:
                await consumers.register(connection, a_consumer(consumer_id), ALIVE_FOR)

        self.act(write)

    def look(self) -> Rows:
        """Everything there is; what is due is carried away, as by a relay, and active roots are reconciled."""

        async def read(connection: Connection) -> Rows:
            due = await outbox.due(connection, 1000, only_unrouted=False)
            await outbox.delete(connection, [row_id for row_id, _ in due])
            jobs = await connection.fetch("SELECT * FROM mqjobs.job ORDER BY id")
            return Rows(
                jobs,
                await connection.fetch(
                    "SELECT * FROM mqjobs.message WHERE dead_at IS NULL ORDER BY id"
                ),
                await connection.fetch("SELECT * FROM mqjobs.dependent_message ORDER BY id"),
                [envelope for _, envelope in due],
                await repairs(connection, jobs),
            )

        return self.act(read)

    def pass_time(self, seconds: float) -> None:
        """Nothing happens for so long, but that consumers that live go on beating."""

        async def write(connection: Connection) -> None:
            passed = timedelta(seconds=seconds)
            await connection.execute(
                "UPDATE mqjobs.job SET last_active_at = last_active_at - $1::interval", passed
            )
            await connection.execute(
                "UPDATE mqjobs.message SET available_at = available_at - $1::interval", passed
            )

        self.act(write)

    def silence(self, consumer_id: UUID) -> None:
        """The consumer's last heartbeat is too old."""
        self.act(
            lambda connection: connection.execute(
                "UPDATE mqjobs.consumer SET alive_until = clock_timestamp() - interval '1 second' "
                "WHERE id = $1",
                consumer_id,
            )
        )

    async def _overtaken(self, first: Call[Any], second: Call[Any]) -> tuple[Any, Any]:
        async with self._pool.acquire() as earlier, self._pool.acquire() as later:
            pid = await later.fetchval("SELECT pg_backend_pid()")
            async with asyncio.TaskGroup() as group, earlier.transaction():
                first_answer = await _answer(earlier, first)
                task = group.create_task(_answer(later, second))
                await eventually(lambda: task.done() or self._is_blocked(pid))
        return first_answer, task.result()

    async def _is_blocked(self, pid: int) -> bool:
        blocked: bool = await self._pool.fetchval(
            "SELECT cardinality(pg_blocking_pids($1)) > 0", pid
        )
        return blocked

    async def _in_transaction(self, call: Call[AnswerT]) -> AnswerT:
        async with transaction(self._pool) as connection:
            return await call(connection)


@contextmanager
def open_bench(url: str) -> Iterator[Bench]:
    """The bench over this database, which nobody else writes to."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        stack = AsyncExitStack()
        hasty = f"{url}{'&' if '?' in url else '?'}synchronous_commit=off"
        pool = runner.run(stack.enter_async_context(open_pool(hasty, size=4)))
        try:
            yield Bench(runner, pool)
        finally:
            runner.run(stack.aclose())


def a_consumer(consumer_id: UUID) -> ConsumerInfo:
    return ConsumerInfo(consumer_id, "host", 1, "0", ["tests"])


async def _answer(connection: Connection, call: Call[Any]) -> Any:
    """What the call answers, or raises; then nothing is written."""
    try:
        async with connection.transaction():
            return await call(connection)
    except MqjobsError as error:
        return type(error)


async def repairs(connection: Connection, jobs: Sequence[asyncpg.Record]) -> list[str]:
    """What the reconciler finds wrong with these roots."""
    active = [row["id"] for row in jobs if row["root_id"] is None and row["stopped_at"] is None]
    found = [await reconcile(connection, root_id) for root_id in active]
    return [repair for repair in found if repair]


async def _together(calls: Sequence[Awaitable[AnswerT]]) -> list[AnswerT]:
    async def wait_for(call: Awaitable[AnswerT]) -> AnswerT:
        return await call

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait_for(call)) for call in calls]
    return [task.result() for task in tasks]
