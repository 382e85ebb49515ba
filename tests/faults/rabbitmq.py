"""Harm to RabbitMQ: restarted, killed, out of patience or memory, and with no memory of its messages."""

from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.faults.arena import Arena
from tests.faults.harm import again_and_again
from tests.faults.ledger import What
from tests.support.amqp import write_declarations

ACK_TIMEOUT = 1.0
"""Seconds; some of the load's work takes twice as long."""

_USUAL_ACK_TIMEOUT = 1800.0
_USUAL_LOOKS = 60.0
_MEMORY_OF_A_TEST = "512MB"


@asynccontextmanager
async def stopped(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The whole node is ended in good order, and comes back with its data."""
    await to_thread(arena.broker.stop)
    try:
        yield
    finally:
        await to_thread(arena.broker.start)


@asynccontextmanager
async def app_stopped(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """RabbitMQ is stopped, its Erlang machine goes on."""
    await ctl(arena, "stop_app")
    try:
        yield
    finally:
        await ctl(arena, "start_app")


@asynccontextmanager
async def killed(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The node is gone as by a power cut, and comes back with what was confirmed."""
    await to_thread(write_declarations, arena.broker)
    await to_thread(arena.broker.kill)
    try:
        yield
    finally:
        await to_thread(arena.broker.start)


@asynccontextmanager
async def connections_closed(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The server closes every connection that it has; who comes again is let in."""
    await ctl(arena, "close_all_connections", "for a test")
    yield


@asynccontextmanager
async def queues_deleted(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """Somebody deletes the queues, with all that is in them, while they are consumed."""
    for queue in arena.queues:
        await ctl(arena, "delete_queue", queue)
    arena.ledger.write(What.FORGOTTEN)
    yield


@asynccontextmanager
async def impatient(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The broker waits for acknowledgements for a second; then it closes the channel."""
    await _have_patience(arena, ACK_TIMEOUT, looks=ACK_TIMEOUT / 2)
    try:
        yield
    finally:
        await _have_patience(arena, _USUAL_ACK_TIMEOUT, looks=_USUAL_LOOKS)


@asynccontextmanager
async def short_of_memory(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The broker reads from nobody who publishes."""
    await ctl(arena, "set_vm_memory_high_watermark", "0.0000001")
    try:
        yield
    finally:
        await ctl(arena, "set_vm_memory_high_watermark", "absolute", _MEMORY_OF_A_TEST)


@asynccontextmanager
async def forgetful(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The node comes back on the same port, and knows of no queue and no message."""
    await to_thread(arena.broker.forget)
    arena.ledger.write(What.FORGOTTEN)
    yield


async def ctl(arena: Arena, *words: str) -> str:
    """What rabbitmqctl says to this."""
    return await to_thread(arena.broker.rabbitmqctl, *words)


async def _have_patience(arena: Arena, seconds: float, *, looks: float) -> None:
    """Channels read it when they are opened, so that every connection has to be made anew."""
    settings = {"consumer_timeout": seconds, "channel_tick_interval": looks}
    for name, value in settings.items():
        await ctl(arena, "eval", f"application:set_env(rabbit, {name}, {int(value * 1000)}).")
    await ctl(arena, "close_all_connections", "for a test")


FAULTS = {
    **again_and_again(
        {
            "broker-restart": stopped,
            "broker-app-restart": app_stopped,
            "broker-kill": killed,
            "broker-memory": short_of_memory,
        },
        lasting=(0.5, 6),
        after=(5, 15),
    ),
    **again_and_again({"broker-close": connections_closed}, lasting=(0, 0), after=(1, 6)),
    **again_and_again({"broker-impatient": impatient}, lasting=(5, 15), after=(3, 10)),
    **again_and_again(
        {"broker-queue": queues_deleted, "broker-forgets": forgetful},
        lasting=(0, 0),
        after=(8, 25),
    ),
}
