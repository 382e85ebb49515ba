"""Consumers of two versions on one schema: the next one is rolled out while this one works."""

import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

import mqjobs
from tests.support.shell import Shell
from tests.support.waiting import eventually

CHILDREN = 60

APP = f'''
"""A root job whose children take their time."""

import asyncio

from mqjobs import App, Context, DelayedProcessor, JobRunner, Message, Processor, Result, RunningJob, Topic


class Split(Topic, name="upgrade.split"):
    """Split it."""

    name: str

    def job_name(self) -> str:
        return self.name


class Part(Topic, name="upgrade.part"):
    """One part."""


class Splitting(Processor):
    topics = (Split,)

    async def process(self, message: Message[Split], context: Context) -> Result:
        async def split(runner: JobRunner, job: RunningJob) -> bool:
            await runner.create_delayed_many((f"part {{number}}", Part()) for number in range({CHILDREN}))
            return True

        return Result.of(await context.jobs.run_unique_by_message(message, split))


class Parting(Processor):
    topics = (Part,)

    async def process(self, message: Message[Part], context: Context) -> Result:
        await asyncio.sleep(0.05)
        return Result.ACK


app = App()
app.subscribe(Splitting(), DelayedProcessor(Parting()))
'''

STEP = """-- works with: 1
ALTER TABLE mqjobs.job ADD COLUMN of_the_next_version text NOT NULL DEFAULT 'it has a default';
CREATE INDEX job_of_the_next_version ON mqjobs.job (of_the_next_version);
"""


@pytest.fixture
def this_version(tmp_path: Path, database_url: str) -> Shell:
    return shell_of(tmp_path / "this", database_url)


@pytest.fixture
def next_version(tmp_path: Path, database_url: str) -> Shell:
    """This version with one more step of the schema."""
    shell = shell_of(tmp_path / "next", database_url)
    [source] = mqjobs.__path__
    package = shell.folder / "mqjobs"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "store" / "versions" / "0002_of_the_next_version.sql").write_text(STEP)
    return shell


def shell_of(folder: Path, database_url: str) -> Shell:
    folder.mkdir()
    (folder / "upgrading.py").write_text(APP)
    variables = {
        "MQJOBS_APP": "upgrading:app",
        "MQJOBS_DATABASE_URL": database_url,
        "MQJOBS_CONCURRENCY": "2",
        "PYTHONPATH": str(folder),
    }
    return Shell(folder, variables)


async def test_consumers_of_this_version_and_the_next_share_a_schema_and_its_jobs(
    this_version: Shell, next_version: Shell, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        async with this_version.started("consume", until="consuming"):
            assert (await this_version("send", "upgrade.split", '{"name": "before"}')).code == 0
            await eventually(
                lambda: connection.fetchval("SELECT count(*) > 5 FROM mqjobs.job WHERE lease > 0"),
                what="some children that run",
            )
            refused = await next_version("consume")
            assert "run mqjobs migrate" in refused.err

            migrated = await next_version("migrate")
            assert migrated.code == 0, migrated.err
            async with next_version.started("consume", until="consuming"):
                assert (await next_version("send", "upgrade.split", '{"name": "after"}')).code == 0
                await eventually(
                    lambda: connection.fetchval(
                        "SELECT count(*) = 2 FROM mqjobs.job WHERE root_id IS NULL AND status = 'success'"
                    ),
                    what="the success of both roots",
                    within=timedelta(seconds=60),
                )
                consumers = await connection.fetchval("SELECT count(*) FROM mqjobs.consumer")
            jobs = await connection.fetch("SELECT * FROM mqjobs.job WHERE root_id IS NOT NULL")
            newcomer = await this_version("doctor")
    finally:
        await connection.close()

    assert consumers == 2
    assert Counter(job["lease"] for job in jobs) == {1: 2 * (CHILDREN + 1)}
    assert len({job["consumer_id"] for job in jobs}) == 2
    assert newcomer.code == 0, newcomer.out
