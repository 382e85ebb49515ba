"""The schema: brought to its newest version once, whoever asks and however many ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from mqjobs.model.errors import SchemaMismatch
from mqjobs.store import migrations
from mqjobs.store.database import Connection
from mqjobs.store.migrations import Migration, check, current_version, migrate, pending


@pytest.fixture
async def empty_url(database_url: str) -> str:
    """The URL of a database without our schema."""
    async with connected(database_url) as connection:
        await connection.execute("DROP SCHEMA mqjobs CASCADE")
    return database_url


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def newest() -> int:
    return migrations.migrations()[-1].version


def test_the_steps_are_numbered_from_one_without_a_gap() -> None:
    versions = [step.version for step in migrations.migrations()]

    assert versions == list(range(1, len(versions) + 1))
    assert all(step.name and step.sql for step in migrations.migrations())


async def test_an_empty_database_gets_every_step_and_a_second_time_none(empty_url: str) -> None:
    async with connected(empty_url) as connection:
        assert await current_version(connection) == 0
        assert await pending(connection) == migrations.migrations()

        assert await migrate(connection) == migrations.migrations()

        assert await current_version(connection) == newest()
        assert await migrate(connection) == []
        await check(connection)


async def test_many_that_migrate_at_once_take_every_step_once(empty_url: str) -> None:
    async def migrate_too() -> list[Migration]:
        async with connected(empty_url) as connection:
            return await migrate(connection)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(migrate_too()) for _ in range(5)]

    assert sorted(len(task.result()) for task in tasks) == [0] * 4 + [newest()]


async def test_a_step_that_fails_leaves_the_schema_as_it_was(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Migration(newest() + 1, "broken", "CREATE TABLE mqjobs.half (id int); SELECT 1 / 0", 1)
    steps = [*migrations.migrations(), broken]
    monkeypatch.setattr(migrations, "migrations", lambda: steps)

    async with connected(empty_url) as connection:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrate(connection)

        assert await current_version(connection) == 0


async def test_a_database_that_is_behind_names_the_command_that_helps(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Migration(newest() + 1, "more", "CREATE TABLE mqjobs.more (id int)", 1)
    steps = [*migrations.migrations(), step]
    monkeypatch.setattr(migrations, "migrations", lambda: steps)

    async with connected(database_url) as connection:
        with pytest.raises(SchemaMismatch) as refused:
            await check(connection)
        assert await migrate(connection) == [step]
        await check(connection)

    assert str(refused.value) == (
        f"the database's schema is version {step.version - 1}, this mqjobs needs {step.version}: "
        "run mqjobs migrate"
    )


async def ahead(connection: Connection, *, works_with: int) -> None:
    """The database has been migrated by an mqjobs of the future."""
    await connection.execute(
        "INSERT INTO mqjobs.schema_version VALUES (998, 'breaks nothing', 1), (999, 'of the future', $1)",
        works_with,
    )


async def test_a_database_that_is_ahead_is_left_alone(database_url: str) -> None:
    async with connected(database_url) as connection:
        await ahead(connection, works_with=newest() + 1)

        for refusing in (check, migrate):
            with pytest.raises(SchemaMismatch, match=r"version 999, this mqjobs knows .* upgrade"):
                await refusing(connection)


async def test_a_database_that_is_ahead_and_works_with_this_version_is_worked_on(
    database_url: str,
) -> None:
    async with connected(database_url) as connection:
        await ahead(connection, works_with=newest())

        await check(connection)
        assert await migrate(connection) == []


def test_a_step_says_with_which_version_it_works(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("SELECT 1")
    (tmp_path / "0002_adds.sql").write_text("-- works with: 1\nSELECT 2")
    (tmp_path / "0003_removes.sql").write_text("-- What works with: 1 is broken.\nSELECT 3")

    steps = migrations.migrations(tmp_path)

    assert [(step.version, step.works_with) for step in steps] == [(1, 1), (2, 1), (3, 3)]


async def test_a_database_without_our_schema_is_version_nought(empty_url: str) -> None:
    async with connected(empty_url) as connection:
        with pytest.raises(SchemaMismatch, match=r"schema is version 0, .* run mqjobs migrate"):
            await check(connection)
