"""mqjobs send: one message, from the shell."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import click

from mqjobs.app.app import App
from mqjobs.app.cli.failures import Failure
from mqjobs.app.cli.flags import as_json, flag
from mqjobs.app.cli.output import show, show_json
from mqjobs.app.cli.setup import SERVERS, Setup, with_setup
from mqjobs.model.message import Sent
from mqjobs.model.priority import Priority
from mqjobs.model.topic import Topic
from mqjobs.processing.envelopes import body_of

PRIORITY = click.Choice([priority.name.lower() for priority in Priority])


@click.command()
@click.argument("topic")
@click.argument("body", metavar="[JSON]", required=False, default="{}")
@flag("--priority", type=PRIORITY, help="Instead of the topic's own.")
@flag(
    "--delay",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="How long it waits before anybody acts on it.",
)
@flag(
    "--expires-in",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="After so long nobody may act on it.",
)
@flag("--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header; may be repeated.")
@as_json
@with_setup(*SERVERS)
def send(  # noqa: PLR0913  the flags of one message
    setup: Setup,
    topic: str,
    body: str,
    priority: str | None,
    delay: float,
    expires_in: float | None,
    headers: Sequence[str],
    as_json: bool,
) -> None:
    """Send one message of a topic.

    Its body is JSON; - reads it from standard input.

    Exits 1 where the topic names a job and an active job has the name: then nothing was sent.
    """
    app = setup.require_app()
    fields = sys.stdin.read() if body == "-" else body
    sent = asyncio.run(
        _send(
            app,
            body_of(app.names[topic], fields),
            priority=None if priority is None else Priority[priority.upper()],
            delay=delay,
            expires_in=expires_in,
            headers=_headers(headers),
        )
    )
    _tell(topic, sent, as_json)


async def _send(app: App, message: Topic, **options: Any) -> Sent:
    async with app.open() as mq:
        return await mq.producer.send(message, **options)


def _headers(pairs: Sequence[str]) -> dict[str, str]:
    headers = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(
                f"{pair!r} is not of the form NAME=VALUE", param_hint="--header"
            )
        headers[name] = value
    return headers


def _tell(topic: str, sent: Sent, as_json: bool) -> None:
    if as_json:
        show_json(sent)
    if sent.blocked_by is not None:
        raise Failure(f"nothing was sent: root job {sent.blocked_by} is active and has the name")
    if not as_json:
        job = "" if sent.job_id is None else f", root job {sent.job_id}"
        show(f"sent {topic}: message {sent.message_id}{job}")
