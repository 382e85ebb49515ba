"""mqjobs consume and relay: what runs until it is told to stop."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
import structlog

from mqjobs.app.app import App
from mqjobs.app.cli.output import nearest
from mqjobs.app.cli.setup import SERVERS, Setup, with_setup
from mqjobs.app.service import consume as run_consumer
from mqjobs.model.errors import ConfigurationError
from mqjobs.store.database import without_password

log = structlog.get_logger(__name__)

CONSUMING = (
    *("concurrency", "prefetch", "grace"),
    *("message_limit", "time_limit", "memory_limit"),
)


@click.command()
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@with_setup(*SERVERS, *CONSUMING, level="info")
def consume(setup: Setup, queues: Sequence[str]) -> None:
    r"""Consume messages: run the app's processors on them.

    From these queues, or from every queue of the app.

    The first SIGTERM or SIGINT (Ctrl-C), and a limit that is reached, let running work end within the grace.
    The second signal ends it at once, and so does SIGQUIT.

    \b
    Exit codes: 0 drained, after a signal or at a limit; 1 failed; 2 wrong usage or
    configuration; 3 no broker, 4 no database or not its schema, within the
    connect timeout; 130 stopped at once.
    """
    app = setup.require_app()
    known = app.registry.queues()
    for queue in queues:
        if queue not in known:
            raise ConfigurationError(f"no processor: {nearest('queue', queue, known)}")
    asyncio.run(run_consumer(app, queues))


@click.command()
@with_setup(*SERVERS, "relay_interval", level="info")
def relay(setup: Setup) -> None:
    """Carry messages from the outbox to the broker.

    Every consumer does it, too; this is for times and places without one.
    """
    asyncio.run(_relay(setup.app))


async def _relay(app: App) -> None:
    stop = asyncio.Event()
    with _stopped_by_signals(stop):
        async with app.open() as mq:
            broker = without_password(app.settings.broker_url or "postgres:")
            log.info("relaying", broker=broker)
            await mq.relay.run(stop, app.settings.relay_interval)
            log.info("stopped")


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
