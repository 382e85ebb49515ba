"""mqjobs dead replay: dead letters are sent again, one after the other, until done or interrupted."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mqjobs.app.cli.choosing import Chosen, chosen, counted
from mqjobs.app.cli.failures import Failure
from mqjobs.app.cli.flags import without_asking
from mqjobs.app.cli.office import Office, in_office
from mqjobs.app.cli.output import confirm, show
from mqjobs.app.cli.setup import DATABASE, Setup, with_setup
from mqjobs.app.exits import Exit
from mqjobs.model.errors import JobError, MessageError
from mqjobs.store.dead_letters import Replayed

REFUSALS_TOLD = 20


@dataclass
class Replay:
    """How far it has come: what was refused is a dead letter still."""

    wanted: int = 0
    replayed: int = 0
    jobs: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many were not come to."""
        return self.wanted - self.replayed - len(self.refused)

    def __str__(self) -> str:
        jobs = "".join(f", {number:,} {what}" for what, number in self.jobs.items())
        return f"replayed {counted(self.replayed)}{jobs}"


@click.command("replay")
@chosen
@without_asking
@with_setup(*DATABASE)
def replay_letters(setup: Setup, /, chosen: Chosen, without_asking: bool) -> None:
    """Send dead letters again, the oldest first.

    A job that failed or was cancelled under its message is retried, so that it really runs. Where its root job is
    stale, or was cancelled before anybody started it, the message is sent once more with a new root job.

    Ctrl-C ends it after the one that it is at; those before are replayed.
    """
    ids = in_office(setup.settings, chosen.found)
    if ids and not chosen.are_named:
        confirm(f"Send {chosen.told(len(ids))} again?", without_asking=without_asking)
    replay = in_office(
        setup.settings, lambda office: _replay(office, ids, tells_each=chosen.are_named)
    )
    if not chosen.are_named:
        show(str(replay))
    if replay.left:
        if replay.refused:
            click.echo(_refusals(replay.refused), err=True)
        raise Failure(
            f"stopped: {replay.replayed:,} of {replay.wanted:,} replayed, {replay.left:,} not come to",
            Exit.STOPPED,
        )
    if replay.refused:
        raise Failure(_refusals(replay.refused))


async def _replay(office: Office, ids: Sequence[int], *, tells_each: bool) -> Replay:
    replay = Replay(wanted=len(ids))
    with _interruptible() as stop, _bar(len(ids)) as bar:
        for letter_id in ids:
            if stop.is_set():
                break
            try:
                replayed = await office.dead.replay(letter_id)
            except (JobError, MessageError) as error:
                replay.refused.append(str(error))
            else:
                _note(replay, replayed)
                if tells_each:
                    show(f"{letter_id}: {_outcome(replayed)}")
            bar.advance(bar.task_ids[0])
    return replay


def _note(replay: Replay, replayed: Replayed) -> None:
    replay.replayed += 1
    if replayed.retried:
        replay.jobs["jobs retried"] += len(replayed.retried)
    if replayed.created:
        replay.jobs["new root jobs"] += len(replayed.created)


def _outcome(replayed: Replayed) -> str:
    if replayed.created:
        jobs = ", ".join(str(job_id) for job_id in replayed.created)
        return f"sent once more as message {replayed.message_id}, with new root job {jobs}"
    if replayed.retried:
        jobs = ", ".join(str(job_id) for job_id in replayed.retried)
        return f"message {replayed.message_id} is on its way, and job {jobs} new again"
    return f"message {replayed.message_id} is on its way"


def _refusals(refused: list[str]) -> str:
    told = refused[:REFUSALS_TOLD]
    more = len(refused) - len(told)
    return "\n".join([*told, *([f"… and {more:,} more"] if more else [])])


@contextmanager
def _interruptible() -> Iterator[asyncio.Event]:
    """The event is set by the first Ctrl-C; the second ends the command as it always does."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def heard() -> None:
        stop.set()
        click.echo("stopping after this one; Ctrl-C again stops at once", err=True)
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, heard)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _bar(total: int) -> Iterator[Progress]:
    """A bar on a terminal, and nothing elsewhere."""
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(
        *columns, console=console, transient=True, disable=not sys.stderr.isatty() or total < 2
    ) as bar:
        bar.add_task("replaying", total=total)
        yield bar
