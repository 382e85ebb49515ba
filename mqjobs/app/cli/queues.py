"""mqjobs queues: how full they are, and what operators do to them."""

import asyncio
import getpass
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import click
from rich.console import RenderableType
from rich.text import Text

from mqjobs.app.cli.flags import as_json, without_asking
from mqjobs.app.cli.office import office
from mqjobs.app.cli.output import ago, confirm, listing, nearest, quiet, show, show_json
from mqjobs.app.cli.setup import SERVERS, Setup, with_setup
from mqjobs.app.transports import transport_of
from mqjobs.model.errors import ConfigurationError
from mqjobs.processing.queues import Queues
from mqjobs.store.queues import Pause
from mqjobs.transport.seam import QueueState

AnswerT = TypeVar("AnswerT")


@click.group()
def queues() -> None:
    """See, pause, resume and purge queues."""


@queues.command("list")
@as_json
@with_setup(*SERVERS)
def list_queues(setup: Setup, as_json: bool) -> None:
    """List the queues, how full they are, and which are paused."""
    reports = _in_queues(setup, lambda queues: queues.list())
    if as_json:
        show_json(reports)
        return
    if not reports:
        show(quiet("no queues yet: the first consumer of an app declares them"))
        return
    now = datetime.now(UTC)
    numbers = "ready unacknowledged consumers"
    rows: list[Sequence[RenderableType]] = [
        (one.queue, *_counts(one.state), _since(one.paused, now), ", ".join(one.topics))
        for one in reports
    ]
    show(listing(f"queue {numbers} paused topics", rows, numbers=numbers, long="topics"))


def _counts(state: QueueState | None) -> Sequence[str]:
    counts = (state.ready, state.unacknowledged, state.consumers) if state else (None,) * 3
    return ["–" if count is None else f"{count:,}" for count in counts]


def _since(pause: Pause | None, now: datetime) -> Text:
    if pause is None:
        return quiet("no")
    return Text(f"{ago(pause.paused_at, now)} by {pause.paused_by}", style="yellow")


@queues.command("pause")
@click.argument("queue")
@with_setup(*SERVERS)
def pause_queue(setup: Setup, queue: str) -> None:
    """Pause a queue: consumers take nothing from it.

    They hear of it within a second or two. What runs goes on, what has not started goes back, and other queues go on.
    """

    async def pause(queues: Queues) -> bool:
        await _require(queue, queues)
        return await queues.pause(queue, by=_operator())

    if _in_queues(setup, pause):
        show(f"{queue} is paused, until: mqjobs queues resume {queue}")
    else:
        show(f"{queue} was paused before: nothing has changed")


@queues.command("resume")
@click.argument("queue")
@with_setup(*SERVERS)
def resume_queue(setup: Setup, queue: str) -> None:
    """Resume a queue that is paused."""

    async def resume(queues: Queues) -> bool:
        await _require(queue, queues)
        return await queues.resume(queue)

    if _in_queues(setup, resume):
        show(f"{queue} is resumed")
    else:
        show(f"{queue} was not paused: nothing has changed")


@queues.command("purge")
@click.argument("queue")
@without_asking
@with_setup(*SERVERS)
def purge_queue(setup: Setup, queue: str, without_asking: bool) -> None:
    """Throw the messages away that wait in a queue.

    Those that wait for later, too. The jobs that wait for them are cancelled. What consumers have goes on.
    """

    async def waiting(queues: Queues) -> int:
        await _require(queue, queues)
        return await queues.waiting(queue)

    count = _in_queues(setup, waiting)
    if not count:
        show(f"nothing waits in {queue}")
        return
    question = (
        f"Throw the {_counted(count, 'message')} away that wait in {queue}, and cancel their jobs?"
    )
    confirm(question, without_asking=without_asking)
    purged = _in_queues(setup, lambda queues: queues.purge(queue, by=_operator()))
    show(
        f"{_counted(purged.messages, 'message')} of {queue} purged, {_counted(purged.jobs, 'job')} cancelled"
    )


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


async def _require(queue: str, queues: Queues) -> None:
    known = [report.queue for report in await queues.list()]
    if queue not in known:
        raise ConfigurationError(nearest("queue", queue, known))


def _operator() -> str:
    """Who acts, for those who find it paused."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _in_queues(setup: Setup, act: Callable[[Queues], Awaitable[AnswerT]]) -> AnswerT:
    async def run() -> AnswerT:
        async with office(setup.settings) as opened:
            settings, pool = setup.settings, opened.pool
            async with transport_of(settings, pool) as transport:
                declared = setup.app.registry.bindings()
                return await act(Queues(opened.services, transport, declared))

    return asyncio.run(run())
