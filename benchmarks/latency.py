"""How long an idle consumer takes to start: from the call that sends to the processor's first line."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from benchmarks.figures import percentile
from benchmarks.peers.aio_pika import contents, message_of, opened
from benchmarks.place import DEFAULTS, Place, consuming, warm_up
from benchmarks.work import Note, Watched, bodies, nothing
from mqjobs import Context, Message, Processor, Result, Topic


class Stopwatch:
    """Sends one at a time, and notes how long each took to arrive."""

    def __init__(self) -> None:
        self._arrived_at = 0.0
        self._is_done = asyncio.Event()

    def arrived(self) -> None:
        """A processor has started."""
        self._arrived_at = perf_counter()

    def done(self) -> None:
        """It has ended."""
        self._is_done.set()

    async def times(self, size: int, send: Callable[[int], Awaitable[object]]) -> dict[str, float]:
        """Of so many messages, after a warm-up."""
        before = warm_up(size)
        taken = [await self._time(number, send) for number in range(before + size)][before:]
        return {"p50, ms": percentile(taken, 50), "p99, ms": percentile(taken, 99)}

    async def _time(self, number: int, send: Callable[[int], Awaitable[object]]) -> float:
        await asyncio.sleep(random.uniform(0.005, 0.025))
        self._is_done.clear()
        began = perf_counter()
        await send(number)
        await self._is_done.wait()
        return (self._arrived_at - began) * 1000


class TimedProcessor(Processor):
    """Notes when it starts, and runs the message's job where it has one."""

    def __init__(self, topic: type[Topic], stopwatch: Stopwatch) -> None:
        self.topics = (topic,)
        self._stopwatch = stopwatch

    async def process(self, message: Message[Any], context: Context) -> Result:
        self._stopwatch.arrived()
        if message.body.job_name() is not None:
            await context.jobs.run_unique_by_message(message, nothing)
        self._stopwatch.done()
        return Result.ACK


async def run(place: Place, size: int, topic: type[Note] = Note) -> dict[str, float]:
    """A plain message, or one of another topic."""
    stopwatch = Stopwatch()
    app = place.app(TimedProcessor(topic, stopwatch), settings=DEFAULTS)
    notes = bodies(topic, warm_up(size) + size)
    async with app.open() as mq, consuming(app):
        return await stopwatch.times(size, lambda number: mq.producer.send(notes[number]))


async def run_with_job(place: Place, size: int) -> dict[str, float]:
    """A message with which a root job is born."""
    return await run(place, size, Watched)


async def run_aio_pika(place: Place, size: int) -> dict[str, float]:
    """A message that aio-pika publishes, confirmed, and hands to a callback."""
    stopwatch = Stopwatch()

    async def called(message: AbstractIncomingMessage) -> None:
        stopwatch.arrived()
        await message.ack()
        stopwatch.done()

    async with opened(place) as (channel, queue):
        await queue.consume(called)
        notes = contents(warm_up(size) + size)
        return await stopwatch.times(
            size,
            lambda number: channel.default_exchange.publish(message_of(notes[number]), queue.name),
        )
