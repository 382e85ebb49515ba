"""Processors and callbacks for tests, made of a few lines where they are needed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from mqjobs.model.message import Message, Outgoing
from mqjobs.model.result import Result
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import Callback, JobRunner
from mqjobs.processing.processor import Processor
from mqjobs.processing.running_job import RunningJob
from tests.support.topics import Note, Piece, Work
from tests.support.waiting import eventually

Act = Callable[[Message[Any], Context], Awaitable[Result]]

LATER = 3600


class Acting(Processor):
    """Does what it was given to do."""

    def __init__(self, topic: type[Topic], act: Act, queue: str | None = None) -> None:
        self.topics = (topic,)
        self.queue = queue
        self._act = act

    async def process(self, message: Message[Any], context: Context) -> Result:
        return await self._act(message, context)


class Hearing(Processor):
    """Acknowledges what comes, and remembers it in the order of arrival."""

    def __init__(self, topic: type[Topic] = Note, queue: str | None = None) -> None:
        self.topics = (topic,)
        self.queue = queue
        self.heard: list[Message[Any]] = []

    async def process(self, message: Message[Any], context: Context) -> Result:
        self.heard.append(message)
        return Result.ACK

    @property
    def texts(self) -> list[str]:
        """What notes said."""
        return [message.body.text for message in self.heard]


class Gate:
    """Holds whoever comes until it is opened; a job's callback, or a part of one."""

    def __init__(self) -> None:
        self.runs: list[RunningJob] = []
        self.waiting = 0
        self.most_at_once = 0
        self.stopped = 0
        self._open = asyncio.Event()

    async def __call__(self, runner: JobRunner, job: RunningJob) -> bool:
        self.runs.append(job)
        await self.passed()
        return True

    async def passed(self) -> None:
        """Return once the gate is open."""
        self.waiting += 1
        self.most_at_once = max(self.most_at_once, self.waiting)
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        finally:
            self.waiting -= 1

    def open(self) -> None:
        """All pass, those who come later too."""
        self._open.set()

    async def reached(self, by: int = 1, within: float = 15) -> None:
        """So many wait here."""
        await eventually(
            lambda: self.waiting >= by, within=timedelta(seconds=within), what=f"{by} at the gate"
        )


def acting(act: Act, topic: type[Topic] = Note) -> Processor:
    """Does this with each message of the topic."""
    return Acting(topic, act)


def unique(callback: Callback, topic: type[Topic] = Work) -> Processor:
    """Runs the unique job that was born with each message of the topic."""

    async def act(message: Message[Any], context: Context) -> Result:
        return Result.of(await context.jobs.run_unique_by_message(message, callback))

    return Acting(topic, act)


def delayed(callback: Callback, topic: type[Topic] = Piece, queue: str | None = None) -> Processor:
    """Runs the delayed child that each message of the topic belongs to."""

    async def act(message: Message[Any], context: Context) -> Result:
        return Result.of(await context.jobs.run_delayed_by_message(message, callback))

    return Acting(topic, act, queue)


def returning(value: Any) -> Callback:
    """A callback that returns this, whatever its type."""

    async def callback(runner: JobRunner, job: RunningJob) -> Any:
        return value

    return callback


def raising(*errors: BaseException, then: bool = True) -> Callback:
    """A callback that raises these, one each time that it is called, and then returns."""
    left = list(errors)

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        if left:
            raise left.pop(0)
        return then

    return callback


def splitting(
    *names: str,
    start: Topic | None = None,
    delay: float = 0,
    gate: Gate | None = None,
    returns: bool = True,
) -> Callback:
    """A callback that creates these delayed children, waits at the gate if there is one, and returns."""

    async def callback(runner: JobRunner, job: RunningJob) -> bool:
        for number, name in enumerate(names):
            body = Piece(number=number) if start is None else start
            await runner.create_delayed(name, Outgoing(body, delay=delay))
        if gate is not None:
            gate.runs.append(job)
            await gate.passed()
        return returns

    return callback


def never(runner: JobRunner, job: RunningJob) -> Awaitable[bool]:
    """A callback that is not to run."""
    raise AssertionError(f"job {job.name!r} ran")
