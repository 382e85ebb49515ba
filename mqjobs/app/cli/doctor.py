"""mqjobs doctor: looks at everything that has to be right, and says what is not."""

import asyncio
import sys
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from mqjobs.app.app import App
from mqjobs.app.cli.app_string import WAYS, load_app
from mqjobs.app.cli.examination import Examination
from mqjobs.app.cli.findings import Finding, Findings, Mark
from mqjobs.app.cli.flags import as_json
from mqjobs.app.cli.output import show, show_json
from mqjobs.app.cli.setup import (
    SERVERS,
    begin_log,
    check_variables_of_flags,
    name_of_app,
    settle,
    warn_of_passwords,
    with_flags,
)
from mqjobs.model.errors import ConfigurationError, MqjobsError

STYLES = {Mark.GOOD: "green", Mark.BAD: "red", Mark.OPEN: "yellow"}
SUBJECT = len("acknowledgements")


@click.command()
@with_flags(*SERVERS)
@as_json
def doctor(as_json: bool, **flags: Any) -> None:
    """Check settings, app, database, schema and broker.

    A line for each: ✓ right, ✗ wrong, – not checked. Exits with the code of the worst.
    """
    findings = Findings(_remember if as_json else _tell)
    examine(findings, flags)
    if as_json:
        show_json(findings.all)
    sys.exit(findings.worst)


def examine(findings: Findings, flags: dict[str, Any]) -> None:
    """Look at everything; what cannot be looked at because of what is wrong before it is left open."""
    try:
        check_variables_of_flags()
        app = _examine_app(findings, flags)
        settings = settle(app, flags)
    except MqjobsError as error:
        findings.bad("settings", error)
        for subject in ("database", "broker"):
            findings.open(subject, "not checked: the settings do not say where it is")
        return
    findings.good("settings", "every MQJOBS_ variable is a setting and can be read")
    begin_log(settings, "error")
    warn_of_passwords(flags)
    asyncio.run(Examination(findings, settings, app.registry).run())


def _examine_app(findings: Findings, flags: dict[str, Any]) -> App:
    """The app, or one without topics where that cannot be had."""
    try:
        named = name_of_app(flags)
        if named is None:
            findings.open("app", f"none is named: {WAYS}")
            return App()
        app = load_app(named)
    except ConfigurationError as error:
        findings.bad("app", error)
        return App()
    topics, queues = len(list(app.names)), app.registry.queues()
    findings.good(
        "app", f"{named} knows {topics} topics, and takes from {', '.join(queues) or 'no queues'}"
    )
    return app


def _tell(finding: Finding) -> None:
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column()
    line.add_column(width=SUBJECT, no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(Text(finding.mark, style=STYLES[finding.mark]), finding.subject, finding.text)
    show(line)


def _remember(finding: Finding) -> None:
    """It is told with the others, at the end."""
