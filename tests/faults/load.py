"""The load: sends at a rate, interrupts and retries now and then, and writes all of it into the ledger."""

import asyncio
import signal
from contextlib import suppress
from random import Random

import asyncpg

from mqjobs import JobStatus, MqjobsError, OpenApp, Sent, Topic
from tests.faults.app import ACTS, app, ledger
from tests.faults.ledger import Ledger, What
from tests.faults.topics import HURRIED, Act, Leaf, Plain, Single, Tree

SLOTS = 12
MOST_OPEN = 3000
LOOK_AGAIN = 0.5
STEER_EVERY = 0.7

EXPIRES_IN = 1200
"""Seconds; much longer than anything takes, much less than a clock is stepped by."""


async def load(seed: int, rate: float, tree: int) -> None:
    """Send until told to stop by a signal: so many pieces of work in a second, trees of so many children."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    app.sends(Leaf)
    async with app.open() as mq, asyncio.TaskGroup() as group:
        group.create_task(_send(mq, Random(seed), rate, tree, over))
        group.create_task(_steer(mq, Random(seed + 1), over))


async def _send(mq: OpenApp, chance: Random, rate: float, tree: int, over: asyncio.Event) -> None:
    number = 0
    while not over.is_set():
        await _backlog_is_small(mq, over)
        number += 1
        body = _next(chance, tree)
        await send(mq, ledger(), number, body)
        pieces = body.children if isinstance(body, Tree) else 1
        await _pause(pieces / rate, over)


def _next(chance: Random, tree: int) -> Topic:
    act = chance.choice(ACTS) if chance.random() < 0.2 else Act.SUCCEED
    ms = chance.expovariate(1 / 20)
    kind = chance.random()
    if kind < 2 / tree:
        return Tree(slot=str(chance.randrange(SLOTS)), children=tree, seed=_seed(chance), act=act)
    if kind < 0.05:  # its children come when it has been silent for too long
        slot = f"{HURRIED}:{chance.randrange(2)}"
        return Tree(slot=slot, children=5, seed=_seed(chance), delay=chance.choice([0.5, 4]))
    if kind < 0.3:
        return Single(slot=str(chance.randrange(SLOTS)), act=act, ms=ms)
    return Plain(act=act, ms=ms)


def _seed(chance: Random) -> int:
    return chance.randrange(2**31)


async def send(mq: OpenApp, ledger: Ledger, number: int, body: Topic) -> Sent | None:
    """Send it, and write both into the ledger, that it was tried and what it came to; None where it raised."""
    ledger.write(What.SENDING, send=number)
    try:
        sent = await mq.producer.send(body, expires_in=EXPIRES_IN)
    except MqjobsError as error:
        ledger.write(What.REFUSED, send=number, error=repr(error))
        return None
    ledger.write(
        What.SENT,
        send=number,
        message=str(sent.message_id),
        job=sent.job_id,
        blocked_by=sent.blocked_by,
    )
    return sent


async def _backlog_is_small(mq: OpenApp, over: asyncio.Event) -> None:
    statement = (
        "SELECT (SELECT coalesce(sum(children - children_success - children_failed - children_cancelled), 0)"
        " FROM mqjobs.job WHERE root_id IS NULL AND status IN ('new', 'running'))"
    )
    while not over.is_set():
        with suppress(*AWAY):
            if await mq.database.fetchval(statement) < MOST_OPEN:
                return
        await _pause(LOOK_AGAIN, over)


async def _steer(mq: OpenApp, chance: Random, over: asyncio.Event) -> None:
    while not over.is_set():
        with suppress(MqjobsError, *AWAY):
            await _steer_once(mq, chance)
        await _pause(STEER_EVERY, over)


async def _steer_once(mq: OpenApp, chance: Random) -> None:
    if chance.random() < 0.15:
        await _retry(mq, chance)
        return
    active = await mq.jobs.roots(statuses=[JobStatus.NEW, JobStatus.RUNNING], limit=20)
    if not active:
        return
    job = chance.choice(active)
    if chance.random() < 0.96:
        children = await mq.jobs.children(job.id, after=job.id + chance.randrange(300), limit=5)
        job = chance.choice(children) if children else job
    answer = await mq.jobs.interrupt(job.id)
    ledger().write(What.STEERED, act="interrupt", job=job.id, answer=answer)


async def _retry(mq: OpenApp, chance: Random) -> None:
    failed = await mq.jobs.roots(statuses=[JobStatus.FAILED], limit=20)
    if not failed:
        return
    job = chance.choice(failed)
    ledger().write(What.STEERED, act="retry", job=job.id)
    await mq.jobs.retry(job.id)


async def _pause(seconds: float, over: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await over.wait()


AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was ended while it was asked
)
