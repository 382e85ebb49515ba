"""Answers that get lost: it was done, and whoever asked for it never hears so."""

from asyncio import to_thread
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from tests.faults.answers import is_commit, is_confirm
from tests.faults.arena import Arena
from tests.faults.harm import again_and_again
from tests.faults.ledger import What
from tests.support.wire import Wire

SHARE = 0.1
LOST = "an answer is lost"


@asynccontextmanager
async def commits_lost(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The transaction is committed; the answer never comes, and the connection is gone."""
    async with _losing(arena.database_wire, _some(arena, chance, is_commit)):
        yield


@asynccontextmanager
async def confirms_lost(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The broker has the message; its confirm never comes, and the connection is gone."""
    async with _losing(arena.broker_wire, _some(arena, chance, is_confirm)):
        yield


@asynccontextmanager
async def killed_at_confirm(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """All consumers die at the moment in which the broker confirms to the relay of one of them."""
    killed = False

    def strike(frame: bytes) -> bool:
        nonlocal killed
        if killed or not is_confirm(frame):
            return False
        killed = True
        arena.ledger.write(What.FAULT, name=LOST)
        for process in arena.consumers.living():
            arena.consumers.kill(process)
        return True

    count = len(arena.consumers.living())
    async with _losing(arena.broker_wire, strike):
        yield
    if killed:
        for _ in range(count):
            await to_thread(arena.consumers.start)


def _some(arena: Arena, chance: Random, is_one: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    def loses(message: bytes) -> bool:
        if not is_one(message) or chance.random() > SHARE:
            return False
        arena.ledger.write(What.FAULT, name=LOST)
        return True

    return loses


@asynccontextmanager
async def _losing(wire: Wire, loses: Callable[[bytes], bool]) -> AsyncIterator[None]:
    wire.loses = loses
    try:
        yield
    finally:
        wire.mend()


FAULTS = {
    **again_and_again(
        {"lost-commits": commits_lost, "lost-confirms": confirms_lost},
        lasting=(2, 10),
        after=(1, 3),
    ),
    **again_and_again({"relay-kill": killed_at_confirm}, lasting=(2, 4), after=(1, 4)),
}
