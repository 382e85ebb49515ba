"""What a child costs, from its creation to its end, as the child of a small root and of a very large one."""

import resource
import sys
from collections.abc import Iterator, Sequence
from time import perf_counter

from benchmarks.place import BUSY, Place, consuming, outbox_is_empty
from benchmarks.tally import Tally
from benchmarks.work import Piece, PieceProcessor, Split, each_body, named
from mqjobs import Context, JobRunner, Message, Processor, Result, RunningJob, Topic

SMALL_ROOT = 1000
ONE_ROOT_AT_A_TIME = {**BUSY, "concurrency": 1, "prefetch": 1}


async def run(place: Place, size: int, root_size: int | None = None) -> dict[str, float]:
    """So many children in roots of that size, or in one: the same number of rows and messages in either case.

    The first, small root is not counted; memory is what the process took at its peak beyond what that one took.
    """
    each = min(root_size or size, size)
    await _life(place, [0], min(SMALL_ROOT, size))
    before = _peak_megabytes()
    roots = range(1, 1 + size // each)
    creating, running = await _life(place, roots, each)
    children = len(roots) * each
    return {
        "ms each": (creating + running) * 1000 / children,
        "ms to create": creating * 1000 / children,
        "ms to run": running * 1000 / children,
        "MB grown": _peak_megabytes() - before,
    }


async def _life(place: Place, roots: Sequence[int], each: int) -> tuple[float, float]:
    """The seconds in which the children of these roots were created, and those in which they were run."""
    split = TimedSplitProcessor(len(roots))
    piece = PieceProcessor(tally := Tally(warm_up=1, size=len(roots) * each - 1))
    creating = place.app(split, piece, settings=ONE_ROOT_AT_A_TIME)
    async with creating.open() as mq, consuming(creating, [place.queue_of(split)]):
        await mq.producer.send_many([Split(number=number, children=each) for number in roots])
        await split.tally.over()
        await outbox_is_empty(mq.database)
    running = place.app(split, piece)
    async with consuming(running, [place.queue_of(piece)]):
        figures = await tally.figures()
        return split.seconds, len(roots) * each / figures["per second"]


class TimedSplitProcessor(Processor):
    """Creates the children of each root, made one by one, and adds up the time of that."""

    topics = (Split,)

    def __init__(self, roots: int) -> None:
        self.seconds = 0.0
        self.tally = Tally(warm_up=0, size=roots)

    async def process(self, message: Message[Split], context: Context) -> Result:
        async def split(runner: JobRunner, job: RunningJob) -> bool:
            began = perf_counter()
            await runner.create_delayed_many(_pieces(message.body.children))
            self.seconds += perf_counter() - began
            return True

        result = Result.of(await context.jobs.run_unique_by_message(message, split))
        self.tally.count()
        return result


def _pieces(children: int) -> Iterator[tuple[str, Topic]]:
    return (named(piece) for piece in each_body(Piece, children))


def _peak_megabytes() -> float:
    """The most memory that this process ever took."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1_000_000 if sys.platform == "darwin" else most / 1000
