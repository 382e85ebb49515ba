"""The consumer daemon as a process: from the first order to the last line that it writes."""

import asyncio
import atexit
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import structlog

from mqjobs.app.app import App
from mqjobs.app.exits import Exit
from mqjobs.app.health import Health
from mqjobs.app.health_port import answering
from mqjobs.app.link import Link
from mqjobs.app.loops import choose_loop
from mqjobs.app.opening import OpenApp, opened
from mqjobs.app.orders import Orders
from mqjobs.app.settings import Settings
from mqjobs.app.snapshot import Snapshot
from mqjobs.app.systemd import Systemd
from mqjobs.app.vitals import Vitals
from mqjobs.runtime.consumer import LAST_WRITES, Consumer
from mqjobs.runtime.every import first_of
from mqjobs.store.database import without_password
from mqjobs.transport.background import in_background

log = structlog.get_logger(__name__)


async def consume(app: App, queues: Sequence[str] = (), link: Link | None = None) -> None:
    """Consume until told to drain or until a limit is reached; told to stop at once, end with CancelledError.

    With a link this is a child: its parent gives orders, too, hears how it is, and answers at the health port. Where
    code that goes on whatever it is told is all that is left, the process ends without it.
    """
    orders = Orders()
    with orders.heard(), _unless_told_to_stop(orders):
        async with _obeying(link, orders), app.consumer(queues) as running:
            orders.when_draining(None)
            async with (
                _watched(running, app.settings, orders, link),
                in_background(
                    _tell(running, app.settings, link), _end_without(running.abandoned, orders)
                ),
            ):
                await running.run(orders.drain, orders.at_once)
                log.info("stopped")
    if orders.at_once.is_set():
        raise asyncio.CancelledError


async def carry(app: App) -> None:
    """Carry messages from the outbox to the broker until told to stop; a batch that is under way may end."""
    orders = Orders()
    with orders.heard(), _unless_told_to_stop(orders):
        async with opened(app.settings, app.registry, app.middleware, for_relay=True) as mq:
            await mq.relay.begin()
            orders.when_draining(None)
            log.info("relaying", broker=without_password(app.settings.broker_url or "postgres:"))
            await _carry(mq, orders, app.settings.relay_interval)
            log.info("stopped")


async def _carry(mq: OpenApp, orders: Orders, interval: timedelta) -> None:
    over = asyncio.Event()

    async def carry() -> None:
        await mq.relay.run(orders.drain, interval)
        over.set()

    async with in_background(carry()):
        await orders.drain.wait()
        await first_of(LAST_WRITES, over, orders.at_once)


@contextmanager
def _unless_told_to_stop(orders: Orders) -> Iterator[None]:
    """Who waits for a server that is away waits no longer when he is told to drain: nothing runs yet."""
    task = asyncio.current_task()
    assert task is not None
    was_left = False

    def leave() -> None:
        nonlocal was_left
        was_left = True
        task.cancel()

    orders.when_draining(leave)
    try:
        yield
    except asyncio.CancelledError:
        if not was_left:
            raise
        task.uncancel()
        log.info("stopped")


async def _end_without(abandoned: asyncio.Event, orders: Orders) -> None:
    """All that such code had is given back, and nobody can wait for its end."""
    await abandoned.wait()
    log.error("ended_without_waiting")
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(Exit.STOPPED if orders.at_once.is_set() else Exit.OK)


@asynccontextmanager
async def _obeying(link: Link | None, orders: Orders) -> AsyncIterator[None]:
    if link is None:
        yield
        return
    async with link.obeyed(orders):
        yield


@asynccontextmanager
async def _watched(
    running: Consumer, settings: Settings, orders: Orders, link: Link | None
) -> AsyncIterator[None]:
    """Whoever wants to know hears how the consumer is: the parent, or the service manager and the health port."""
    if link is not None:
        link.introduce(running.services.runs.consumer_id)
        vitals = Vitals(running, orders.drain, [link.report])
        async with in_background(vitals.watch(), vitals.probe()):
            yield
        return
    health, systemd = Health(), Systemd()
    vitals = Vitals(running, orders.drain, [_hearing(health), systemd.hear])
    with answering(health, settings.health_host, settings.health_port):
        async with in_background(vitals.watch(), vitals.probe(), systemd.beat()):
            yield


def _hearing(health: Health) -> Callable[[Snapshot], None]:
    def hear(snapshot: Snapshot) -> None:
        health.turn()
        health.hear(1, snapshot)

    return hear


async def _tell(running: Consumer, settings: Settings, link: Link | None) -> None:
    """What is consumed, and where, once it is; a child's parent has said most of it."""
    await running.consuming.wait()
    line = log.bind(consumer_id=str(running.services.runs.consumer_id))
    if link is None:
        line = line.bind(**banner(settings, running.queues))
    line.info("consuming")


def banner(settings: Settings, queues: Sequence[str]) -> dict[str, object]:
    """What a daemon says of itself when it begins. No secrets."""
    banner: dict[str, object] = {
        "queues": list(queues),
        "broker": without_password(settings.broker_url or "postgres:"),
        "database": without_password(settings.database_url or "embedded:"),
        "concurrency": settings.concurrency,
        "prefetch": settings.prefetched,
        "loop": choose_loop(settings.loop)[0],
    }
    return {**banner, "processes": settings.processes} if settings.processes > 1 else banner
