"""Harm to the network between the run's processes and a server: late, slow, silent, torn."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import TypeAlias

from tests.faults.arena import Arena
from tests.faults.harm import Harm, again_and_again
from tests.faults.postgres import away
from tests.support.wire import Wire

LATENCY = timedelta(milliseconds=150)
SLOW = 20_000
"""Bytes in a second, each way of each connection."""

Between: TypeAlias = Callable[[Arena], Wire]


def late(between: Between) -> Harm:
    """Every message is a while on its way."""

    @asynccontextmanager
    async def harm(arena: Arena, chance: Random) -> AsyncIterator[None]:
        async with _mended(between(arena)) as wire:
            wire.latency = LATENCY
            yield

    return harm


def slow(between: Between) -> Harm:
    """Few bytes pass in a second."""

    @asynccontextmanager
    async def harm(arena: Arena, chance: Random) -> AsyncIterator[None]:
        async with _mended(between(arena)) as wire:
            wire.bytes_per_second = SLOW
            yield

    return harm


def reset(between: Between) -> Harm:
    """Every connection is reset, and who comes again is let in."""

    @asynccontextmanager
    async def harm(arena: Arena, chance: Random) -> AsyncIterator[None]:
        between(arena).reset()
        yield

    return harm


def black_hole(between: Between) -> Harm:
    """What is sent gets lost, on the connections that there are, too, and nobody is told."""

    @asynccontextmanager
    async def harm(arena: Arena, chance: Random) -> AsyncIterator[None]:
        async with away(arena, "nothing arrives"), _mended(between(arena)) as wire:
            wire.is_silent = True
            yield

    return harm


def half_open(between: Between) -> Harm:
    """The connections are reset, and who comes again is let in and hears nothing."""

    @asynccontextmanager
    async def harm(arena: Arena, chance: Random) -> AsyncIterator[None]:
        async with away(arena, "nobody answers"), _mended(between(arena)) as wire:
            wire.is_silent = True
            wire.reset()
            yield

    return harm


@asynccontextmanager
async def _mended(wire: Wire) -> AsyncIterator[Wire]:
    try:
        yield wire
    finally:
        wire.mend()


def to_database(arena: Arena) -> Wire:
    """The wire to it."""
    return arena.database_wire


def to_broker(arena: Arena) -> Wire:
    """The wire to it."""
    return arena.broker_wire


FAULTS = {
    name: fault
    for server, between in {"database": to_database, "broker": to_broker}.items()
    for name, fault in {
        **again_and_again(
            {f"{server}-late": late(between), f"{server}-slow": slow(between)},
            lasting=(3, 15),
            after=(1, 5),
        ),
        **again_and_again({f"{server}-reset": reset(between)}, lasting=(0, 0), after=(0.5, 5)),
        **again_and_again(
            {f"{server}-silent": black_hole(between), f"{server}-mute": half_open(between)},
            lasting=(1, 30),
            after=(3, 15),
        ),
    }.items()
}
