"""mqjobs dead: the messages that nobody could handle."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from mqjobs.app.cli.choosing import Chosen, by_kind, chosen, counted
from mqjobs.app.cli.failures import Failure
from mqjobs.app.cli.flags import an_id, as_json, flag, limit, without_asking
from mqjobs.app.cli.office import Office, in_office
from mqjobs.app.cli.output import ago, confirm, facts, listing, quiet, show, show_json, text_of
from mqjobs.app.cli.replaying import replay_letters
from mqjobs.app.cli.setup import DATABASE, Setup, with_setup
from mqjobs.model.message import Envelope
from mqjobs.model.secrets import MARK
from mqjobs.model.tracebacks import what_went_wrong
from mqjobs.store.dead_letters import KeptLetter

AT_ONCE = 500


@click.group()
def dead() -> None:
    """See, replay and drop messages that nobody could handle."""


@dead.command("list")
@by_kind
@flag("--before", type=an_id, metavar="ID", help="Only those with a lower id: the next page.")
@limit(20)
@as_json
@with_setup(*DATABASE)
def list_letters(setup: Setup, /, limit: int, as_json: bool, **wanted: Any) -> None:
    """List dead letters, the newest first."""
    read = in_office(setup.settings, lambda office: office.dead.list(limit=limit, **wanted))
    found = [_shown(setup, letter) for letter in read]
    if as_json:
        show_json(found)
    elif not found:
        show(quiet("no dead letters"))
    else:
        _show_listing(found, datetime.now(UTC))
        if len(found) == limit:
            show(quiet(f"there may be more: --before {found[-1].id}"))


def _shown(setup: Setup, letter: KeptLetter) -> KeptLetter:
    return replace(letter, envelope=setup.shown(letter.envelope))


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
    letter = _shown(setup, in_office(setup.settings, lambda office: office.dead.get(letter_id)))
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
                "headers": _headers(envelope) or None,
                "sent": ago(envelope.sent_at, now),
                "died": ago(letter.dead_at, now),
                "body": text_of(envelope.body),
                "reason": letter.reason,
                "detail": Text(letter.detail.rstrip(), style="red"),
            }
        )
    )


def _headers(envelope: Envelope) -> str:
    """The sender's own; ours only says which fields are masked."""
    return ", ".join(f"{name}: {value}" for name, value in envelope.headers.items() if name != MARK)


@dead.command("drop")
@chosen
@without_asking
@with_setup(*DATABASE)
def drop_letters(setup: Setup, /, chosen: Chosen, without_asking: bool) -> None:
    """Throw dead letters away for good.

    Their jobs stay as they are.
    """
    ids = in_office(setup.settings, chosen.found)
    if ids:
        confirm(f"Throw {chosen.told(len(ids))} away?", without_asking=without_asking)

    async def drop(office: Office) -> tuple[int, int]:
        dropped = 0
        for start in range(0, len(ids), AT_ONCE):
            dropped += await office.dead.drop(*ids[start : start + AT_ONCE])
        return dropped, len(ids) - dropped

    dropped, missing = in_office(setup.settings, drop)
    show(f"dropped {counted(dropped)}")
    if missing and chosen.are_named:
        raise Failure(f"{missing} of these ids are no dead letters: see mqjobs dead list")


dead.add_command(replay_letters)
