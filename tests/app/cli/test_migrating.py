from collections.abc import AsyncIterator

import pytest

from mqjobs.store.migrations import migrations
from tests.support.databases import database
from tests.support.shell import Shell

NEWEST = migrations()[-1]


@pytest.fixture
async def empty(shell: Shell, postgres_url: str) -> AsyncIterator[Shell]:
    """The command beside a database without a schema."""
    async with database(postgres_url, "template0") as url:
        yield Shell(shell.folder, {**shell.variables, "MQJOBS_DATABASE_URL": url})


async def test_a_plan_is_the_sql_and_changes_nothing(empty: Shell) -> None:
    planned = await empty("migrate", "--plan")
    assert planned.code == 0
    assert planned.out.startswith("-- version 1: first\n")
    assert "CREATE TABLE mqjobs.job (" in planned.out
    assert (await empty("migrate", "--plan")).out == planned.out


async def test_a_migration_is_taken_once(empty: Shell) -> None:
    first = await empty("migrate")
    assert first.code == 0
    assert first.out.splitlines()[-1] == f"migrated to version {NEWEST.version} ({NEWEST.name})"
    second = await empty("migrate")
    assert second.out == f"nothing to do: the schema is version {NEWEST.version}\n"
    assert (await empty("migrate", "--plan")).out == "-- nothing to do\n"


async def test_commands_refuse_a_schema_that_they_do_not_know(empty: Shell) -> None:
    for words in (
        ["jobs", "list"],
        ["consume"],
        ["send", "shop.price"],
        ["queues", "list"],
        ["relay"],
    ):
        ran = await empty(*words)
        assert (ran.code, ran.out) == (4, "")
        assert ran.err.startswith("Error: the database's schema is version 0")
        assert "run mqjobs migrate" in ran.err
