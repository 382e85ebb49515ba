"""Children of one root, taken by several consumer processes; each child waits, so that cores are not the limit."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import click
import uvloop

from benchmarks.children import fill
from benchmarks.place import Place, warm_up
from benchmarks.tally import Tally
from benchmarks.work import PieceProcessor, SplitProcessor
from mqjobs.app.service import consume

ROOT = Path(__file__).parents[1]
WAITS_SECONDS = 0.005
SETTINGS = {"concurrency": 10, "prefetch": 40, "log_level": "warning", "time_limit": 600}
BETWEEN_LOOKS = 0.01
CHILDREN_ENDED = "SELECT children_success FROM mqjobs.job WHERE root_id IS NULL"


async def run(place: Place, size: int, processes: int = 1) -> dict[str, float]:
    """How many children so many processes end in a second, by the root's own count."""
    split, piece = SplitProcessor(), PieceProcessor(place.tally(size))
    app = place.app(split, piece, settings=SETTINGS)
    total = warm_up(size) + size
    await fill(place, app, split, total)
    async with AsyncExitStack() as stack:
        mq = await stack.enter_async_context(app.open())
        workers = [await stack.enter_async_context(_worker(place)) for _ in range(processes)]
        for worker in workers:
            await _begin(worker)
        seen = [Seen(perf_counter(), 0)]
        while seen[-1].ended <= total:  # the root's own child has ended, too
            await asyncio.sleep(BETWEEN_LOOKS)
            ended = await mq.database.fetchval(CHILDREN_ENDED)
            seen.append(Seen(perf_counter(), ended))
    return {"per second": rate(seen, warm_up(size))}


@dataclass(frozen=True, slots=True)
class Seen:
    """How many had ended at this moment."""

    at: float
    ended: int


def rate(seen: Sequence[Seen], after: int) -> float:
    """How many ended in a second between the first look that found so many, but not all, and the last."""
    last = seen[-1]
    first = next((one for one in seen if after <= one.ended < last.ended), seen[0])
    return (last.ended - first.ended) / (last.at - first.at)


@asynccontextmanager
async def _worker(place: Place) -> AsyncIterator[Process]:
    """A consumer process that waits for its sign to begin; it has ended in good order when the block has."""
    command = [sys.executable, "-m", "benchmarks.processes"]
    where = json.dumps([place.database_url, place.broker_url, place.prefix])
    process = await asyncio.create_subprocess_exec(
        *command, where, cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _begin(worker: Process) -> None:
    assert worker.stdin is not None
    worker.stdin.write(b"begin\n")
    await worker.stdin.drain()


@click.command()
@click.argument("where")
def main(where: str) -> None:
    """Be one of the consumer processes, from the sign on standard input until SIGTERM."""
    database_url, broker_url, prefix = json.loads(where)
    place = Place(database_url, broker_url, prefix=prefix)
    app = place.app(PieceProcessor(Tally(warm_up=0, size=0), WAITS_SECONDS), settings=SETTINGS)
    click.echo("ready")
    if sys.stdin.readline():
        uvloop.run(consume(app))


if __name__ == "__main__":
    main()
