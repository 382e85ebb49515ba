"""One run: consumers, load and faults at once, then quiet, then the reckoning."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from tests.faults.arena import Arena
from tests.faults.checker import Findings, check
from tests.faults.consumers import Process
from tests.faults.ledger import What, read
from tests.faults.logs import faults_in
from tests.faults.plan import FAULTS
from tests.faults.processes import was_set
from tests.faults.records import names_twice, read_records
from tests.support.waiting import eventually

QUIET_WITHIN = timedelta(seconds=120)
ENDS_WITHIN = timedelta(seconds=60)
LOOK_EVERY = 1.0

UNDONE = """
SELECT (SELECT count(*) FROM mqjobs.job WHERE status IN ('new', 'running', 'failed_redelivered'))
     + (SELECT count(*) FROM mqjobs.message WHERE dead_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run is to be like. The seed decides what is sent, and when which fault comes."""

    duration: float
    seed: int
    rate: float = 100
    faults: Sequence[str] = ()
    consumers: int = 3
    tree: int = 200


async def run(arena: Arena, wish: Wish) -> Findings:
    """What there was, and what there should not have been."""
    await arena.consuming(wish.consumers)
    twice: set[str] = set()
    async with under_load(arena, wish, twice), asyncio.TaskGroup() as group:
        over = asyncio.Event()
        for number, name in enumerate(wish.faults):
            group.create_task(FAULTS[name](arena, Random(f"{wish.seed}.{number}"), over))
        await asyncio.sleep(wish.duration)
        over.set()
    return await reckon(arena, twice)


@asynccontextmanager
async def under_load(arena: Arena, wish: Wish, twice: set[str]) -> AsyncIterator[None]:
    """There is a load during the block; names that two active roots are seen to have go to `twice`."""
    over = asyncio.Event()
    load = _start_load(arena, wish)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_watch_names(arena, twice, over))
            yield
            over.set()
    finally:
        await asyncio.to_thread(_end_load, arena, load)


async def reckon(arena: Arena, twice: Collection[str]) -> Findings:
    """What there was, and what there should not have been; first all that is under way comes to its end."""
    await _quiet(arena)
    fallen = [f"{each.name} ended of itself" for each in arena.consumers.fallen()]
    await arena.begun()
    codes = [
        await asyncio.to_thread(arena.consumers.end, each) for each in arena.consumers.living()
    ]
    left = await arena.waiting()
    async with arena.connected() as connection:
        records = await read_records(connection, names_twice=frozenset(twice), left_in_queues=left)
    findings = check(read(arena.folder), records)
    findings.forbidden["log faults"] = faults_in(arena.folder)
    ended_badly = [f"a consumer ended with {code}" for code in codes if code != 0]
    findings.forbidden["exit codes"] = fallen + ended_badly
    return findings


def _start_load(arena: Arena, wish: Wish) -> Process:
    options = ("--seed", wish.seed, "--rate", wish.rate, "--tree", wish.tree)
    words = ("-m", "tests.faults", "load", *map(str, options))
    return arena.consumers.run("load", words)


def _end_load(arena: Arena, load: Process) -> None:
    load.signal(signal.SIGTERM)
    try:
        code = load.popen.wait(ENDS_WITHIN.total_seconds())
    except subprocess.TimeoutExpired:
        load.popen.kill()
        code = load.popen.wait()
    if code:
        raise RuntimeError(f"the load ended with {code}: {load.log.read_text('utf-8')[-3000:]}")


async def _watch_names(arena: Arena, twice: set[str], over: asyncio.Event) -> None:
    while not await was_set(over, within=LOOK_EVERY):
        try:
            async with arena.connected() as connection:
                twice |= await names_twice(connection)
        except Exception as error:  # the database is away: that is a fault's work
            arena.ledger.write(What.FAULT, name="looked in vain", error=repr(error))


async def _quiet(arena: Arena) -> None:
    """Everything is done, or the time for it is over; then what is not done will be counted."""

    async def is_quiet() -> bool:
        async with arena.connected() as connection:
            undone = await connection.fetchval(UNDONE)
        return not undone and not await arena.waiting()

    began = time.monotonic()
    try:
        await eventually(is_quiet, within=QUIET_WITHIN, what="quiet")
    except AssertionError:
        arena.ledger.write(What.FAULT, name="never quiet")
    arena.ledger.write(What.FAULT, name="quiet", after=time.monotonic() - began)
