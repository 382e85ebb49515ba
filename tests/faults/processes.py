"""Faults of processes: they are killed, and they stand still."""

import asyncio
from contextlib import suppress
from random import Random

from tests.faults.arena import Arena
from tests.faults.ledger import What

KILL_EVERY = (0.5, 3.0)
FREEZE_FOR = (1.0, 8.0)
FREEZE_EVERY = (4.0, 12.0)


async def kill(arena: Arena, chance: Random, over: asyncio.Event) -> None:
    """A random consumer dies every now and then, and another takes its place."""
    while not await was_set(over, within=chance.uniform(*KILL_EVERY)):
        living = arena.consumers.living()
        if not living:
            continue
        arena.ledger.write(What.FAULT, name="kill")
        arena.consumers.kill(chance.choice(living))
        arena.consumers.start()


async def freeze(arena: Arena, chance: Random, over: asyncio.Event) -> None:
    """A random consumer stands still, at times for so long that it is declared dead, and then goes on."""
    while not await was_set(over, within=chance.uniform(*FREEZE_EVERY)):
        living = arena.consumers.living()
        if not living:
            continue
        process = chance.choice(living)
        arena.ledger.write(What.FAULT, name="freeze")
        arena.consumers.freeze(process)
        await was_set(over, within=chance.uniform(*FREEZE_FOR))
        arena.consumers.thaw(process)


async def was_set(event: asyncio.Event, within: float) -> bool:
    """Whether the event was set before so many seconds were over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
    return event.is_set()
