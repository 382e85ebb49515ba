"""A database that the tests of a module share: what each of them writes is undone at its end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from mqjobs.store.database import Connection
from tests.support.databases import database
from tests.support.stored_jobs import StoredJobs, connected


@pytest.fixture(scope="module")
def shared_url(postgres_url: str, database_template: str) -> Iterator[str]:
    """The URL of a database for the tests of this module that commit nothing."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(database(postgres_url, database_template)))
        runner.run(stack.aclose())


@pytest.fixture
async def connection(shared_url: str) -> AsyncIterator[Connection]:
    """A connection in a transaction that is rolled back when the test is over."""
    async with connected(shared_url) as opened:
        undone = opened.transaction()
        await undone.start()
        try:
            yield opened
        finally:
            await undone.rollback()


@pytest.fixture
def work(connection: Connection) -> StoredJobs:
    """Jobs on that connection."""
    return StoredJobs(connection)


@pytest.fixture
async def other(shared_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of somebody else, as plain as the driver makes it."""
    opened = await asyncpg.connect(shared_url)
    try:
        yield opened
    finally:
        await opened.close()
