"""The work that is measured: a body of 200 bytes of JSON, and processors that count."""

import asyncio
from time import perf_counter
from typing import Any

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


class Split(Topic, name="bench.split"):
    """Create so many delayed children, after some that do not count."""

    number: int
    children: int
    warm_up: int = 0

    def job_name(self) -> str:
        return f"bench:{self.number}"


def bodies(topic: type[Note], count: int) -> list[Note]:
    """So many bodies, each of 200 bytes as JSON."""
    return [_padded(topic(**FIELDS, number=number, text="")) for number in range(count)]


FIELDS: dict[str, Any] = {"author": "Ada", "tags": ("one", "two"), "is_public": True}


def _padded(note: Note) -> Note:
    missing = BODY_BYTES - len(note.model_dump_json())
    return note.model_copy(update={"text": "x" * missing})


class Tally:
    """Counts what is done, and takes the time of what comes after the warm-up."""

    def __init__(self, *, warm_up: int, size: int) -> None:
        self._begin, self._end = warm_up, warm_up + size
        self._done = 0
        self._began_at = self._ended_at = 0.0
        self._is_warm, self._is_over = asyncio.Event(), asyncio.Event()

    def count(self) -> bool:
        """One more is done; whether it was the last."""
        self._done += 1
        if self._done == self._begin:
            self._began_at = perf_counter()
            self._is_warm.set()
        elif self._done == self._end:
            self._ended_at = perf_counter()
            self._is_over.set()
        return self._is_over.is_set()

    async def warm(self) -> None:
        """Returns when the warm-up is done."""
        await self._is_warm.wait()

    async def over(self) -> None:
        """Returns when all are done."""
        await self._is_over.wait()

    async def per_second(self) -> float:
        """How many were done in a second, once all are."""
        await self.over()
        return (self._end - self._begin) / (self._ended_at - self._began_at)


class NoteProcessor(Processor):
    """Has nothing to do but to count."""

    topics = (Note,)

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def process(self, message: Message[Note], context: Context) -> Result:
        self._tally.count()
        return Result.ACK


class PieceProcessor(Processor):
    """Runs the delayed child, and counts it when its outcome is written."""

    topics = (Piece,)

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def process(self, message: Message[Piece], context: Context) -> Result:
        result = Result.of(await context.jobs.run_delayed_by_message(message, _nothing))
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
            pieces = [
                (f"piece:{piece.number}", piece)
                for piece in bodies(Piece, body.warm_up + body.children)
            ]
            await runner.create_delayed_many(pieces[: body.warm_up])
            began = perf_counter()
            await runner.create_delayed_many(pieces[body.warm_up :])
            self.per_second = body.children / (perf_counter() - began)
            return True

        result = Result.of(await context.jobs.run_unique_by_message(message, split))
        self.has_split.set()
        return result


async def _nothing(runner: JobRunner, job: RunningJob) -> bool:
    return True
