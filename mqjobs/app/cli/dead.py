"""mqjobs dead: the messages that nobody could handle."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from mqjobs.app.cli.failures import Failure
from mqjobs.app.cli.flags import CommandT, an_id, as_json, flag, limit, without_asking
from mqjobs.app.cli.office import Office, in_office
from mqjobs.app.cli.output import ago, confirm, facts, listing, quiet, show, show_json, text_of
from mqjobs.app.cli.setup import DATABASE, Setup, with_setup
from mqjobs.model.errors import JobError, MessageError
from mqjobs.model.tracebacks import what_went_wrong
from mqjobs.store.dead_letters import KeptLetter, Replayed

PAGE = 200


@click.group()
def dead() -> None:
    """See, replay and drop messages that nobody could handle."""


def chosen(command: CommandT) -> CommandT:
    """Flags that choose dead letters."""
    for name in ("reason", "queue", "topic"):
        command = flag(f"--{name}", metavar="TEXT", help=f"Only those of this {name}.")(command)
    return command


@dead.command("list")
@chosen
@flag("--before", type=an_id, metavar="ID", help="Only those with a lower id: the next page.")
@limit(20)
@as_json
@with_setup(*DATABASE)
def list_letters(setup: Setup, /, limit: int, as_json: bool, **wanted: Any) -> None:
    """List dead letters, the newest first."""
    found = in_office(setup.settings, lambda office: office.dead.list(limit=limit, **wanted))
    if as_json:
        show_json(found)
    elif not found:
        show(quiet("no dead letters"))
    else:
        _show_listing(found, datetime.now(UTC))
        if len(found) == limit:
            show(quiet(f"there may be more: --before {found[-1].id}"))


def _show_listing(letters: Sequence[KeptLetter], now: datetime) -> None:
    rows = (
        (
            str(letter.id),
            letter.envelope.topic,
            letter.envelope.queue or "–",
            letter.reason,
            ago(letter.dead_at, now),
            str(letter.envelope.job_id or ""),
            what_went_wrong(letter.detail),
        )
        for letter in letters
    )
    columns = "id topic queue reason died job detail"
    show(listing(columns, rows, numbers="id job", long="topic detail"))


@dead.command("show")
@click.argument("letter_id", type=an_id)
@as_json
@with_setup(*DATABASE)
def show_letter(setup: Setup, letter_id: int, as_json: bool) -> None:
    """Show a dead letter: the message, and why it died."""
    letter = in_office(setup.settings, lambda office: office.dead.get(letter_id))
    if as_json:
        show_json(letter)
        return
    now, envelope = datetime.now(UTC), letter.envelope
    show(
        facts(
            {
                "dead letter": str(letter.id),
                "message": str(envelope.id),
                "topic": envelope.topic,
                "queue": envelope.queue or "–",
                "priority": envelope.priority.name.lower(),
                "attempt": str(envelope.attempt),
                "job": str(envelope.job_id) if envelope.job_id else None,
                "headers": ", ".join(f"{name}: {value}" for name, value in envelope.headers.items())
                or None,
                "sent": ago(envelope.sent_at, now),
                "died": ago(letter.dead_at, now),
                "body": text_of(envelope.body),
                "reason": letter.reason,
                "detail": Text(letter.detail.rstrip(), style="red"),
            }
        )
    )


@dead.command("replay")
@click.argument("letter_ids", type=an_id, nargs=-1)
@flag("--all", "everything", is_flag=True, help="All of them, or all that the other flags choose.")
@chosen
@without_asking
@with_setup(*DATABASE)
def replay_letters(
    setup: Setup,
    /,
    letter_ids: Sequence[int],
    everything: bool,
    without_asking: bool,
    **wanted: Any,
) -> None:
    """Send dead letters again.

    A job that failed or was cancelled under its message is retried, so that it really runs. Where its root job is
    stale, or was cancelled before anybody started it, the message is sent once more with a new root job.
    """
    _require_choice(letter_ids, everything, wanted)
    if everything:
        question = f"Send all dead letters{_of(wanted)} again?"
        confirm(question, without_asking=without_asking)

    async def replay(office: Office) -> list[str]:
        refused = []
        async for letter_id in _each(office, letter_ids, wanted):
            try:
                show(f"{letter_id}: {_outcome(await office.dead.replay(letter_id))}")
            except (JobError, MessageError) as error:
                refused.append(str(error))
        return refused

    refused = in_office(setup.settings, replay)
    if refused:
        raise Failure("\n".join(refused))


def _outcome(replayed: Replayed) -> str:
    if replayed.created:
        jobs = ", ".join(str(job_id) for job_id in replayed.created)
        return f"sent once more as message {replayed.message_id}, with new root job {jobs}"
    if replayed.retried:
        jobs = ", ".join(str(job_id) for job_id in replayed.retried)
        return f"message {replayed.message_id} is on its way, and job {jobs} new again"
    return f"message {replayed.message_id} is on its way"


@dead.command("drop")
@click.argument("letter_ids", type=an_id, nargs=-1)
@flag("--all", "everything", is_flag=True, help="All of them, or all that the other flags choose.")
@chosen
@without_asking
@with_setup(*DATABASE)
def drop_letters(
    setup: Setup,
    /,
    letter_ids: Sequence[int],
    everything: bool,
    without_asking: bool,
    **wanted: Any,
) -> None:
    """Throw dead letters away for good.

    Their jobs stay as they are.
    """
    _require_choice(letter_ids, everything, wanted)
    which = "all dead letters" if everything else _counted(len(set(letter_ids)))
    confirm(f"Throw {which}{_of(wanted)} away?", without_asking=without_asking)

    async def drop(office: Office) -> int:
        return sum(
            [await office.dead.drop(each) async for each in _each(office, letter_ids, wanted)]
        )

    dropped = in_office(setup.settings, drop)
    show(f"dropped {_counted(dropped)}")
    missing = len(set(letter_ids)) - dropped
    if missing > 0:
        raise Failure(f"{missing} of these ids are no dead letters: see mqjobs dead list")


def _counted(number: int) -> str:
    return f"{number:,} dead letter{'' if number == 1 else 's'}"


def _require_choice(letter_ids: Sequence[int], everything: bool, wanted: dict[str, Any]) -> None:
    if bool(letter_ids) == everything:
        raise click.UsageError("give ids of dead letters, or --all")
    if letter_ids and any(wanted.values()):
        raise click.UsageError(
            "--topic, --queue and --reason choose among all: give --all, or ids alone"
        )


def _of(wanted: dict[str, Any]) -> str:
    return "".join(f" of {name} {value}" for name, value in wanted.items() if value)


async def _each(
    office: Office, letter_ids: Sequence[int], wanted: dict[str, Any]
) -> AsyncIterator[int]:
    """These ids; without any, all that are wanted, those left out that die while they are gone through."""
    for letter_id in dict.fromkeys(letter_ids):
        yield letter_id
    before = None
    while not letter_ids:
        page = await office.dead.list(before=before, limit=PAGE, **wanted)
        for letter in page:
            yield letter.id
        if len(page) < PAGE:
            return
        before = page[-1].id
