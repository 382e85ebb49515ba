"""The load's application, whose processors write each run into the ledger: `--app tests.faults.app:app`."""

import asyncio
import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from mqjobs import (
    App,
    Context,
    JobRunner,
    JobStatus,
    Message,
    Outgoing,
    Proceed,
    Processor,
    Redeliver,
    Result,
    RootJobStopped,
    RunningJob,
)
from tests.faults.ledger import Ledger, What
from tests.faults.topics import Act, After, Leaf, Plain, Single, Tree

LEDGER_VARIABLE = "MQJOBS_TEST_LEDGER"
NAME_VARIABLE = "MQJOBS_TEST_LEDGER_NAME"
QUEUE_VARIABLE = "MQJOBS_TEST_QUEUE"

LONG_WORK = 2.0
HESITATION = 0.5
PULSE = 0.1
STARVED = 0.75

ACTS = (Act.FAIL, Act.RAISE, Act.TAKE_LONG, Act.HESITATE, *(2 * (Act.STUMBLE, Act.COME_BACK)))


def queues_of(name: str) -> tuple[str, str]:
    """The queues of a run of this name: for jobs, and for messages without one."""
    return f"{name}.jobs", f"{name}.messages"


JOBS, MESSAGES = queues_of(os.environ.get(QUEUE_VARIABLE, "faults"))


class Failure(Exception):
    """What the load raises where it is told to."""


@cache
def ledger() -> Ledger:
    """This process's."""
    return Ledger(Path(os.environ[LEDGER_VARIABLE]), os.environ[NAME_VARIABLE])


async def work(act: Act, ms: float, attempt: int) -> bool:
    """Do it, and return whether it is a success."""
    seconds = ms / 1000 + (LONG_WORK if act in {Act.TAKE_LONG, Act.HESITATE} else 0)
    await _take(act, seconds)
    if act is Act.RAISE or (act is Act.STUMBLE and attempt == 1):
        raise Failure(f"{act} at attempt {attempt}")
    if act is Act.COME_BACK and attempt == 1:
        raise Redeliver(0.3)
    return act is not Act.FAIL


async def _take(act: Act, seconds: float) -> None:
    until = time.monotonic() + seconds
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if act is Act.IGNORE:
            await _take(act, until - time.monotonic())
            return
        if act is Act.HESITATE:
            await asyncio.sleep(HESITATION)
        raise


def told(message: Message[Any], job: RunningJob | None = None) -> dict[str, Any]:
    """What the ledger is told of a run."""
    fields: dict[str, Any] = {"topic": message.topic, "message": str(message.id)}
    if job is not None:
        fields |= {"job": job.id, "lease": job.lease, "root": job.root_id}
    return fields


class TreeProcessor(Processor):
    """Splits a tree's root into its children."""

    topics = (Tree,)
    queue = JOBS

    async def process(self, message: Message[Tree], context: Context) -> Result:
        async def split(runner: JobRunner, job: RunningJob) -> bool:
            with ledger().run(**told(message, job)) as run:
                root = runner.root.id
                await runner.add_dependent(After(root=root, on="any"))
                for status in (JobStatus.SUCCESS, JobStatus.FAILED):
                    await runner.add_dependent(After(root=root, on=status), on=status)
                await runner.create_delayed_many(_leaves(message.body))
                await runner.create_delayed("the last", Leaf(act=Act.SUCCEED, ms=1))
                run.value = await work(message.body.act, 5, message.attempt)
                return run.value

        return Result.of(await context.jobs.run_unique_by_message(message, split))


def _leaves(tree: Tree) -> Iterator[tuple[str, Outgoing]]:
    """The same ones each time."""
    chance = Random(tree.seed)
    for number in range(tree.children):
        act = chance.choice(ACTS) if chance.random() < 0.1 else Act.SUCCEED
        leaf = Leaf(act=act, ms=chance.expovariate(1 / 80))
        yield f"leaf {number}", Outgoing(leaf, delay=tree.delay)


class LeafProcessor(Processor):
    """Runs a child of a tree."""

    topics = (Leaf,)
    queue = JOBS

    async def process(self, message: Message[Leaf], context: Context) -> Result:
        async def run_leaf(runner: JobRunner, job: RunningJob) -> bool:
            with ledger().run(**told(message, job)) as run:
                run.value = await work(message.body.act, message.body.ms, message.attempt)
                return run.value

        return Result.of(await context.jobs.run_delayed_by_message(message, run_leaf))


class SingleProcessor(Processor):
    """Runs a unique job without children."""

    topics = (Single,)
    queue = JOBS

    async def process(self, message: Message[Single], context: Context) -> Result:
        async def run_single(runner: JobRunner, job: RunningJob) -> bool:
            with ledger().run(**told(message, job)) as run:
                run.value = await work(message.body.act, message.body.ms, message.attempt)
                return run.value

        return Result.of(await context.jobs.run_unique_by_message(message, run_single))


class PlainProcessor(Processor):
    """Acts on a message without a job."""

    topics = (Plain,)
    queue = MESSAGES

    async def process(self, message: Message[Plain], context: Context) -> Result:
        with ledger().run(**told(message)) as run:
            run.value = await work(message.body.act, message.body.ms, message.attempt)
            return Result.of(run.value)


class ListeningProcessor(Processor):
    """Hears what follows from the end of a root."""

    topics = (After, RootJobStopped)
    queue = MESSAGES

    async def process(self, message: Message[Any], context: Context) -> Result:
        body = message.body
        root = body.root if isinstance(body, After) else body.job_id
        with ledger().run(**told(message), about=root):
            return Result.ACK


class Pulse:
    """Notes when this process's event loop stood still: it was frozen, or starved."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._last = time.monotonic()
        loop.call_later(PULSE, self._beat)

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._last > STARVED:
            ledger().write(What.HELD_UP, since=self._last)
        self._last = now
        self._loop.call_later(PULSE, self._beat)


@cache
def pulse() -> Pulse:
    """This process's."""
    return Pulse(asyncio.get_running_loop())


async def felt(message: Message[Any], context: Context, proceed: Proceed) -> Result:
    """From the first message on, the process has a pulse."""
    pulse()
    return await proceed()


app = App(middleware=[felt])
app.subscribe(
    TreeProcessor(), LeafProcessor(), SingleProcessor(), PlainProcessor(), ListeningProcessor()
)
