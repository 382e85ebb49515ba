"""Harm that has a beginning and an end, and the faults that do it again and again."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any, TypeAlias

from tests.faults.arena import Arena
from tests.faults.ledger import What
from tests.faults.processes import was_set

Harm: TypeAlias = Callable[[Arena, Random], AbstractAsyncContextManager[None]]
"""The block is the time of harm; after it everything is whole again."""

Span: TypeAlias = tuple[float, float]
"""Seconds: at least, at most."""

Fault: TypeAlias = Callable[[Arena, Random, asyncio.Event], Coroutine[Any, Any, None]]


def again_and_again(
    harms: Mapping[str, Harm], *, lasting: Span, after: Span
) -> Mapping[str, Fault]:
    """The faults that do such harm for so long, then wait for so long, until the run is over."""
    return {name: _again_and_again(name, harm, lasting, after) for name, harm in harms.items()}


def _again_and_again(name: str, harm: Harm, lasting: Span, after: Span) -> Fault:
    async def fault(arena: Arena, chance: Random, over: asyncio.Event) -> None:
        while not await was_set(over, within=chance.uniform(*after)):
            arena.ledger.write(What.FAULT, name=name)
            async with harm(arena, chance):
                await was_set(over, within=chance.uniform(*lasting))

    return fault
