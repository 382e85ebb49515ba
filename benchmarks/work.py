"""The work that is measured: a body of 200 bytes of JSON, and processors that count."""

import asyncio
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any

from benchmarks.tally import Tally
from mqjobs import Context, JobRunner, Message, Processor, Result, RunningJob, Topic

BODY_BYTES = 200


class Note(Topic, name="bench.note"):
    """A body with a field of each common kind."""

    number: int
    author: str
    tags: tuple[str, ...]
    is_public: bool
    text: str


class Piece(Note, name="bench.piece"):
    """The same body, as the message of a delayed child."""


class Watched(Note, name="bench.watched"):
    """The same body, of a message with which a root job is born."""

    def job_name(self) -> str:
        return f"bench:{self.number}"


class Split(Topic, name="bench.split"):
    """Create so many delayed children, after some that do not count."""

    number: int
    children: int
    warm_up: int = 0

    def job_name(self) -> str:
        return f"bench:{self.number}"


def bodies(topic: type[Note], count: int) -> list[Note]:
    """So many bodies, each of 200 bytes as JSON."""
    return list(each_body(topic, count))


def each_body(topic: type[Note], count: int) -> Iterator[Note]:
    """The same, made one by one as they are asked for."""
    return (_padded(topic(**FIELDS, number=number, text="")) for number in range(count))


FIELDS: dict[str, Any] = {"author": "Ada", "tags": ("one", "two"), "is_public": True}


def _padded(note: Note) -> Note:
    missing = BODY_BYTES - len(note.model_dump_json())
    return note.model_copy(update={"text": "x" * missing})


class NoteProcessor(Processor):
    """Has nothing to do but to count."""

    topics = (Note,)

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def process(self, message: Message[Note], context: Context) -> Result:
        self._tally.count()
        return Result.ACK


class UniqueProcessor(Processor):
    """Creates, runs and ends a unique job for each message, and counts it when its outcome is written."""

    topics = (Note,)

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def process(self, message: Message[Note], context: Context) -> Result:
        name = f"bench:{message.body.number}"
        result = Result.of(await context.jobs.run_unique(message.id, name, nothing))
        self._tally.count()
        return result


class WatchedProcessor(Processor):
    """Runs and ends the root job that was born with the message, and counts it."""

    topics = (Watched,)

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def process(self, message: Message[Watched], context: Context) -> Result:
        result = Result.of(await context.jobs.run_unique_by_message(message, nothing))
        self._tally.count()
        return result


class PieceProcessor(Processor):
    """Runs the delayed child, for so many seconds, and counts it when its outcome is written."""

    topics = (Piece,)

    def __init__(self, tally: Tally, waits: float = 0.0) -> None:
        self._tally = tally
        self._callback = partial(_wait, waits) if waits else nothing

    async def process(self, message: Message[Piece], context: Context) -> Result:
        result = Result.of(await context.jobs.run_delayed_by_message(message, self._callback))
        self._tally.count()
        return result


class SplitProcessor(Processor):
    """Creates the children of a root, and takes the time of that."""

    topics = (Split,)

    def __init__(self) -> None:
        self.per_second = 0.0
        self.has_split = asyncio.Event()

    async def process(self, message: Message[Split], context: Context) -> Result:
        async def split(runner: JobRunner, job: RunningJob) -> bool:
            body = message.body
            pieces = [named(piece) for piece in bodies(Piece, body.warm_up + body.children)]
            await runner.create_delayed_many(pieces[: body.warm_up])
            began = perf_counter()
            await runner.create_delayed_many(pieces[body.warm_up :])
            self.per_second = body.children / (perf_counter() - began)
            return True

        result = Result.of(await context.jobs.run_unique_by_message(message, split))
        self.has_split.set()
        return result


def named(piece: Note) -> tuple[str, Note]:
    """A child's name, and its message."""
    return f"piece:{piece.number}", piece


async def nothing(runner: JobRunner, job: RunningJob) -> bool:
    """A job without work."""
    return True


async def _wait(seconds: float, runner: JobRunner, job: RunningJob) -> bool:
    await asyncio.sleep(seconds)
    return True
