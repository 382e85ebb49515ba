"""An app in a folder, and the mqjobs command in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.shell import Shell
from tests.support.stored_jobs import StoredJobs, connected

APP = '''
import asyncio

from mqjobs import App, Priority, Processor, Result, Retry, Topic


class Reindex(Topic, name="shop.reindex"):
    """Rebuild the index of a collection.

    It takes a while.
    """

    collection: str

    def job_name(self):
        return f"shop.reindex:{self.collection}"


class Price(Topic, name="shop.price", priority=Priority.HIGH, retry=Retry(attempts=3), queue="prices"):
    """Calculate a price."""

    amount: int = 0


class Told(Topic, name="shop.told"):
    """Somebody else is told."""


class ReindexProcessor(Processor):
    topics = (Reindex,)

    async def process(self, message, context):
        async def run(runner, job):
            await asyncio.Event().wait()

        return Result.of(await context.jobs.run_unique_by_message(message, run))


class PriceProcessor(Processor):
    topics = (Price,)

    async def process(self, message, context):
        return Result.ACK


app = App()
app.subscribe(ReindexProcessor(), PriceProcessor())
app.sends(Told)
'''


@pytest.fixture
def shell(database_url: str, tmp_path: Path) -> Shell:
    """The command beside `shop.py`, whose app it is told of, and a migrated database."""
    (tmp_path / "shop.py").write_text(APP)
    variables = {"MQJOBS_DATABASE_URL": database_url, "MQJOBS_APP": "shop:app"}
    return Shell(tmp_path, variables)


@pytest.fixture
async def stored(database_url: str) -> AsyncIterator[StoredJobs]:
    """The hand that makes what there is to see."""
    async with connected(database_url) as connection:
        yield StoredJobs(connection)
