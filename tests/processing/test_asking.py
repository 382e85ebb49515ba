"""What operators ask of the store: a transaction each, with the store's patience."""

from datetime import timedelta

import pytest

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.processing.asking import ask
from mqjobs.store.database import Connection
from tests.support.surroundings import Surroundings, surroundings, through
from tests.support.wire import Wire


async def change(connection: Connection) -> int:
    await connection.execute("DELETE FROM mqjobs.consumer")
    found: int = await connection.fetchval("SELECT count(*) FROM mqjobs.consumer")
    return found


async def consumers(around: Surroundings) -> int:
    found: int = await around.pool.fetchval("SELECT count(*) FROM mqjobs.consumer")
    return found


async def test_what_is_answered_is_committed(around: Surroundings) -> None:
    assert await ask(around.services.store, change) == 0

    assert await consumers(around) == 0


async def test_what_raises_changes_nothing(around: Surroundings) -> None:
    async def fail(connection: Connection) -> None:
        await change(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(around.services.store, fail)

    assert await consumers(around) == 1


async def test_while_the_database_is_away_it_is_told_when_patience_is_over(
    database_url: str,
) -> None:
    async with (
        Wire.to(database_url) as wire,
        surroundings(through(wire, database_url), patience=timedelta(0)) as around,
    ):
        wire.tear()

        with pytest.raises(DatabaseUnavailable, match="PostgreSQL is away"):
            await ask(around.services.store, change)
