"""Starts and stops, by ten and again and again: what a process holds afterwards that it did not hold before."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import astuple, dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from mqjobs import App, Context, Message, Processor, Result, Settings
from mqjobs.runtime.consumer import Consumer
from mqjobs.runtime.reaper import run_reaper
from mqjobs.runtime.reconciler import run_reconciler
from tests.faults.arena import OVER_POSTGRES, Arena
from tests.faults.topics import Act, Plain
from tests.support.waiting import eventually

TEN = 10
OFTEN = timedelta(seconds=0.01)

Cycle = Callable[[], Coroutine[None, None, None]]
"""Starts something, and stops it when it runs."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds, here and in the database."""

    tasks: int
    descriptors: int
    processes: int
    sessions: int

    def is_within(self, before: "Held") -> bool:
        """Whether nothing is held that was not held before, but for the task of the channel that puts questions.

        What a round leaves behind, ten times as many rounds leave ten times.
        """
        spared = replace(before, tasks=before.tasks + 1)
        return all(now <= then for now, then in zip(astuple(self), astuple(spared), strict=True))


async def held(arena: Arena) -> Held:
    """What this process, which alone uses the arena, holds now."""
    async with arena.connected() as connection:
        sessions = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        )
    return Held(
        tasks=len(asyncio.all_tasks()),
        descriptors=len(os.listdir("/proc/self/fd")),
        processes=_children(),
        sessions=sessions,
    )


async def held_by_broker(arena: Arena) -> list[int]:
    """The channels of each connection that the broker has, those of others among them if there are any."""
    if arena.broker_url == OVER_POSTGRES:
        return []
    command = ("list_connections", "channels", "--no-table-headers")
    listed = await asyncio.to_thread(arena.broker.rabbitmqctl, *command)
    return sorted(int(line) for line in listed.split())


def _children() -> int:
    return sum(
        len(tasks.read_text().split()) for tasks in Path("/proc/self/task").glob("*/children")
    )


async def ten_at_once(cycle: Cycle) -> None:
    """Ten, side by side."""
    async with asyncio.TaskGroup() as group:
        for _ in range(TEN):
            group.create_task(cycle())


async def ten_in_a_row(cycle: Cycle) -> None:
    """Ten, one after the other."""
    for _ in range(TEN):
        await cycle()


async def left_after(arena: Arena, ten: Cycle, rounds: int) -> tuple[Held, Held]:
    """What was held before so many rounds, and after them."""
    await ten()  # what is made once and kept, is made now
    before = after = await held(arena)
    for _ in range(rounds):
        await ten()

    async def nothing_is_left() -> bool:
        nonlocal after
        after = await held(arena)
        return after.is_within(before)

    with suppress(AssertionError):
        await eventually(nothing_is_left)
    return before, after


class Nothing(Processor):
    """Is there, so that there is something to consume."""

    topics = (Plain,)

    async def process(self, message: Message[Plain], context: Context) -> Result:
        return Result.ACK


def app_of(arena: Arena) -> App:
    """An app in this arena that takes from one queue."""
    app = App(
        Settings(
            database_url=arena.database_url,
            broker_url=arena.broker_url,
            exchange=arena.name,
            pool_size=4,
        )
    )
    processor = Nothing()
    processor.queue = arena.queues[0]
    app.subscribe(processor)
    return app


def whole(arena: Arena) -> Mapping[str, Cycle]:
    """What a process starts, with its connections."""
    app = app_of(arena)

    async def producer() -> None:
        async with app.open() as mq:
            await mq.producer.send(Plain(act=Act.SUCCEED, ms=0))

    async def consumer() -> None:
        async with app.consumer() as running:
            await run_until_it_consumes(running)

    return {"producer": producer, "consumer": consumer}


def services(consumer: Consumer) -> Mapping[str, Cycle]:
    """What a consumer starts, on the connections that it has."""
    store, pace = consumer.services.store, consumer.pace

    async def stopped(service: Callable[[asyncio.Event], Coroutine[None, None, None]]) -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(service(stop))
            await asyncio.sleep(0.02)
            stop.set()

    async def inbox() -> None:
        opened = consumer.transport.inbox(consumer.queues, prefetch=1, consumer_id=uuid4())
        async with opened as taken:
            await taken.close()

    return {
        "heartbeat": lambda: stopped(lambda stop: consumer.heartbeat.beat(stop, OFTEN)),
        "watch": lambda: stopped(lambda stop: consumer.heartbeat.watch(stop, OFTEN)),
        "relay": lambda: stopped(lambda stop: consumer.relay.run(stop, OFTEN)),
        "reaper": lambda: stopped(
            lambda stop: run_reaper(
                store, stop, interval=OFTEN, crashes_allowed=pace.crashes_allowed
            )
        ),
        "reconciler": lambda: stopped(
            lambda stop: run_reconciler(store, stop, interval=OFTEN, needs_relay=True)
        ),
        "inbox": inbox,
    }


async def run_until_it_consumes(consumer: Consumer) -> None:
    """It consumes, and has drained."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(consumer.run(stop))
        await consumer.consuming.wait()
        stop.set()


@asynccontextmanager
async def open_consumer(arena: Arena) -> AsyncIterator[Consumer]:
    """One with its connections, and registered, that consumes nothing yet."""
    async with app_of(arena).consumer() as consumer:
        await consumer.heartbeat.begin()
        yield consumer


@dataclass(frozen=True, slots=True)
class Left:
    """What was held before and after, by what was started and stopped; and in the broker in the end."""

    before: Mapping[str, Held]
    after: Mapping[str, Held]
    channels_before: Sequence[int]
    channels_after: Sequence[int]
    connections: int


async def left_by_all(arena: Arena, rounds: int) -> Left:
    """Everything is started and stopped in so many rounds of ten."""
    left = {
        name: await left_after(arena, partial(ten_at_once, cycle), rounds)
        for name, cycle in whole(arena).items()
    }
    async with open_consumer(arena) as consumer:
        channels_before = await held_by_broker(arena)
        for name, cycle in services(consumer).items():
            left[name] = await left_after(arena, partial(ten_in_a_row, cycle), rounds)
        channels_after = await held_by_broker(arena)
    return Left(
        before={name: before for name, (before, _) in left.items()},
        after={name: after for name, (_, after) in left.items()},
        channels_before=channels_before,
        channels_after=channels_after,
        connections=len(await held_by_broker(arena)),
    )
