"""mqjobs migrate: the schema, brought to the version that this mqjobs works on."""

import asyncio
from collections.abc import Sequence

import click

from mqjobs.app.cli.flags import flag
from mqjobs.app.cli.output import show
from mqjobs.app.cli.setup import DATABASE, Setup, with_setup
from mqjobs.app.opening import database
from mqjobs.app.settings import Settings
from mqjobs.store import migrations
from mqjobs.store.migrations import Migration


@click.command()
@flag("--plan", is_flag=True, help="Write the SQL that would run, and run nothing.")
@flag("--roles", is_flag=True, help="Write the SQL for roles of least privilege, and run nothing.")
@with_setup(*DATABASE)
def migrate(setup: Setup, plan: bool, roles: bool) -> None:
    """Bring the schema to the newest version.

    All steps are taken, or none. An embedded database does this by itself whenever it is opened.
    """
    if roles:
        click.echo(migrations.roles(), nl=False)
        return
    steps = asyncio.run(_migrate(setup.settings, plan))
    if plan:
        click.echo(_plan(steps))
    elif steps:
        for step in steps:
            show(f"migrated to version {step.version} ({step.name})")
    else:
        show(f"nothing to do: the schema is version {migrations.migrations()[-1].version}")


async def _migrate(settings: Settings, plan: bool) -> Sequence[Migration]:
    async with database(settings) as pool, pool.acquire() as connection:
        if plan:
            return await migrations.pending(connection)
        return await migrations.migrate(connection)


def _plan(steps: Sequence[Migration]) -> str:
    """SQL, with a comment where there is nothing to run."""
    if not steps:
        return "-- nothing to do"
    return "\n".join(f"-- version {step.version}: {step.name}\n{step.sql}" for step in steps)
