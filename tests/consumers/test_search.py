import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from consumers import index
from consumers.search import (
    IndexModuleProcessor,
    RefreshStatisticsProcessor,
    ReindexDocsProcessor,
)
from mqjobs import App, Job, JobStatus, Settings
from mqjobs.app.opening import OpenApp, consumer
from tests.support.waiting import eventually
from topics.search import IndexModule, ReindexDocs


@pytest.fixture
def app(database_url: str) -> App:
    app = App(Settings(database_url=database_url))
    app.subscribe(ReindexDocsProcessor(), IndexModuleProcessor(), RefreshStatisticsProcessor())
    return app


@asynccontextmanager
async def consumed(app: App) -> AsyncIterator[OpenApp]:
    """The app, open, with a consumer beside it until the end of the block."""
    stop = asyncio.Event()
    async with (
        app.open() as mq,
        consumer(app.settings, app.registry, app.middleware) as running,
        asyncio.TaskGroup() as beside,
    ):
        beside.create_task(running.run(stop))
        try:
            yield mq
        finally:
            stop.set()


async def reindex(mq: OpenApp, collection: str) -> Job:
    """The root job of a rebuild when it has ended and its dependent message was acted on."""
    sent = await mq.producer.send(ReindexDocs(collection=collection))
    root_id = sent.job_id
    assert root_id is not None

    async def counted() -> bool:
        root = await mq.jobs.get(root_id)
        if not root.status.is_terminal or root.stopped_at is None:
            return False
        if root.children == 1 and root.status is JobStatus.FAILED:
            return True
        statistics = await index.statistics_of(mq.database, collection)
        return statistics is not None and statistics.refreshed_at >= root.stopped_at

    await eventually(counted, what="the end of the rebuild")
    return await mq.jobs.get(root_id)


def write(folder: Path, **modules: str) -> None:
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)


async def found(mq: OpenApp, query: str) -> list[str]:
    return [hit.full_name for hit in await index.search(mq.database, query)]


async def test_a_collection_is_indexed_with_a_child_job_per_module(
    app: App, tmp_path: Path
) -> None:
    write(tmp_path, cats='"""About cats."""', dogs='def bark():\n    """Be loud."""', birds="")

    async with consumed(app) as mq:
        root = await reindex(mq, str(tmp_path))
        children = await mq.jobs.children(root.id)

        assert root.status is JobStatus.SUCCESS
        assert {child.name for child in children if not child.own_child} == {
            "index:birds",
            "index:cats",
            "index:dogs",
        }
        assert await found(mq, "loud or cats") == ["cats", "dogs.bark"]


async def test_a_module_that_cannot_be_parsed_fails_alone_and_says_why(
    app: App, tmp_path: Path
) -> None:
    write(tmp_path, cats='"""About cats."""', old="import sys\nprint 'hello'\n")

    async with consumed(app) as mq:
        root = await reindex(mq, str(tmp_path))
        [failed] = await mq.jobs.children(root.id, status=JobStatus.FAILED)

        assert root.status is JobStatus.FAILED
        assert failed.name == "index:old"
        assert "UnreadableModule: old.py:2: Missing parentheses" in (failed.error or "")
        assert await found(mq, "cats") == ["cats"]


async def test_what_went_away_is_forgotten_by_the_next_rebuild(app: App, tmp_path: Path) -> None:
    write(tmp_path, cats='"""An animal."""', dogs='"""An animal."""')

    async with consumed(app) as mq:
        await reindex(mq, str(tmp_path))
        (tmp_path / "dogs.py").unlink()
        await reindex(mq, str(tmp_path))

        assert await found(mq, "animal") == ["cats"]


async def test_the_statistics_are_counted_when_all_children_have_ended(
    app: App, tmp_path: Path
) -> None:
    write(tmp_path, **{f"module{n}": f'"""Number {n}."""' for n in range(50)})

    async with consumed(app) as mq:
        await reindex(mq, str(tmp_path))
        statistics = await index.statistics_of(mq.database, str(tmp_path))

    assert statistics is not None
    assert (statistics.modules, statistics.documents) == (50, 50)


async def test_a_folder_that_is_not_there_fails_the_job_with_its_name(app: App) -> None:
    async with consumed(app) as mq:
        root = await reindex(mq, "/no/such/folder")
        [own] = await mq.jobs.children(root.id)

    assert root.status is JobStatus.FAILED
    assert "collection '/no/such/folder' is neither stdlib" in (own.error or "")


async def test_while_a_rebuild_is_under_way_another_is_refused(app: App, tmp_path: Path) -> None:
    async with app.open() as mq:
        first = await mq.producer.send(ReindexDocs(collection=str(tmp_path)))
        again = await mq.producer.send(ReindexDocs(collection=str(tmp_path)))
        other = await mq.producer.send(ReindexDocs(collection=str(tmp_path / "other")))

    assert again.blocked_by == first.job_id
    assert other.blocked_by is None


async def test_a_module_outside_of_a_rebuild_has_no_job_to_run(app: App, tmp_path: Path) -> None:
    stray = IndexModule(collection="zoo", module="cats", path=str(tmp_path / "cats.py"))

    async with consumed(app) as mq:
        sent = await mq.producer.send(stray)

        async def buried() -> bool:
            letters = await mq.dead.list()
            return any(letter.envelope.id == sent.message_id for letter in letters)

        await eventually(buried, what="the dead letter")
