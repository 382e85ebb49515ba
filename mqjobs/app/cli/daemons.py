"""mqjobs consume and relay: what runs until it is told to stop."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import click
import structlog
from structlog.contextvars import bind_contextvars

from mqjobs.app.cli.output import nearest
from mqjobs.app.cli.setup import SERVERS, Setup, set_up, with_flags, with_setup
from mqjobs.app.family import supervise
from mqjobs.app.link import link_of_child
from mqjobs.app.loops import choose_loop
from mqjobs.app.service import banner, carry
from mqjobs.app.service import consume as run_consumer
from mqjobs.model.errors import ConfigurationError

log = structlog.get_logger(__name__)

CONSUMING = (
    *("concurrency", "prefetch", "grace"),
    *("message_limit", "time_limit", "memory_limit"),
    *("processes", "health_port", "health_host", "loop"),
)


CODES_OF_CONSUME = (
    "Exit codes: 0 drained, after a signal or at a limit; 1 failed; 2 wrong usage or configuration; "
    "3 no broker, 4 no database or not its schema, within the connect timeout; 130 stopped at once."
)


@click.command(epilog=CODES_OF_CONSUME)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@with_flags(*SERVERS, *CONSUMING, level="info")
def consume(queues: Sequence[str], **flags: Any) -> None:
    """Consume messages: run the app's processors on them.

    From these queues, or from every queue of the app.

    The first SIGTERM or SIGINT (Ctrl-C), and a limit that is reached, let running work end within the grace.
    The second signal ends it at once, and so does SIGQUIT.
    """
    link = link_of_child()
    setup = set_up(flags if link is None else link.flags, level="info")
    app = setup.require_app()
    known = app.registry.queues()
    for queue in queues:
        if queue not in known:
            raise ConfigurationError(nearest("queue", queue, known))
    if link is None and setup.settings.processes > 1:
        log.info("starting", **banner(setup.settings, queues or known))
        sys.exit(asyncio.run(supervise(setup.settings, ["consume", *queues], flags)))
    if link is not None:
        bind_contextvars(process=link.number)
    _, new_loop = choose_loop(setup.settings.loop)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run_consumer(app, queues, link))


@click.command()
@with_setup(*SERVERS, "relay_interval", level="info")
def relay(setup: Setup) -> None:
    """Carry messages from the outbox to the broker.

    Every consumer does it, too; this is for times and places without one.
    """
    _, new_loop = choose_loop(setup.settings.loop)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(carry(setup.app))
