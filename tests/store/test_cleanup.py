from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mqjobs.model.status import JobStatus
from mqjobs.store import cleanup
from mqjobs.store.children import Dependent
from mqjobs.store.cleanup import Ended, Removed
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import TOPIC, StoredJobs, connected

AGES = {JobStatus.SUCCESS: timedelta(days=14), JobStatus.FAILED: timedelta(days=30)}


@pytest.fixture
async def stored(database_url: str) -> AsyncIterator[StoredJobs]:
    async with connected(database_url) as connection:
        yield StoredJobs(connection)


async def ended_ago(stored: StoredJobs, days: float, root_id: int) -> int:
    await stored.connection.execute(
        "UPDATE mqjobs.job SET stopped_at = now() - $2::interval WHERE id = $1",
        root_id,
        timedelta(days=days),
    )
    return root_id


async def remove(stored: StoredJobs) -> Removed:
    async with stored.connection.transaction():
        return await cleanup.remove_ended(stored.connection, AGES)


async def rows(stored: StoredJobs) -> int:
    count: int = await stored.connection.fetchval(
        "SELECT (SELECT count(*) FROM mqjobs.job) + (SELECT count(*) FROM mqjobs.dependent_message)"
    )
    return count


async def test_a_root_goes_with_its_children_and_dependent_messages(stored: StoredJobs) -> None:
    root = await stored.root()
    own = await stored.run(root.own_child_id)
    await stored.dependents(own, Dependent(an_envelope(TOPIC), JobStatus.FAILED))
    for child in await stored.children(own, "a", "b"):
        await stored.end(await stored.run(child), JobStatus.SUCCESS)
    await stored.end(own, JobStatus.SUCCESS)
    await ended_ago(stored, 15, root.id)

    assert await remove(stored) == Removed(roots=1, children=3, dependents=1)

    assert await rows(stored) == 0
    assert await remove(stored) == Removed()


async def test_each_end_has_its_own_age(stored: StoredJobs) -> None:
    old_success = await ended_ago(stored, 15, await stored.ended_root("a", JobStatus.SUCCESS))
    success = await ended_ago(stored, 13, await stored.ended_root("b", JobStatus.SUCCESS))
    failed = await ended_ago(stored, 29, await stored.ended_root("c", JobStatus.FAILED))
    old_failed = await ended_ago(stored, 31, await stored.ended_root("d", JobStatus.FAILED))

    await remove(stored)

    statuses = [await stored.status(each) for each in (old_success, success, failed, old_failed)]
    assert statuses == [None, JobStatus.SUCCESS, JobStatus.FAILED, None]


async def test_an_end_without_an_age_and_active_roots_stay(stored: StoredJobs) -> None:
    cancelled = await stored.ended_root("a", JobStatus.CANCELLED)
    await ended_ago(stored, 400, cancelled)
    active = await stored.root("b")
    await stored.run(active.own_child_id)
    await stored.quiet(active.id, timedelta(days=400))

    assert await remove(stored) == Removed()

    assert await stored.status(cancelled) is JobStatus.CANCELLED
    assert await stored.status(active.id) is JobStatus.RUNNING


async def test_a_dry_run_counts_what_would_go_and_removes_nothing(stored: StoredJobs) -> None:
    await ended_ago(stored, 15, await stored.ended_root("a", JobStatus.SUCCESS, ["x", "y"]))
    await ended_ago(stored, 16, await stored.ended_root("b", JobStatus.SUCCESS))
    await ended_ago(stored, 16, await stored.ended_root("c", JobStatus.FAILED))
    before = await rows(stored)

    counted = await cleanup.count_ended(stored.connection, AGES)

    assert counted == [Ended(JobStatus.SUCCESS, 2, 4), Ended(JobStatus.FAILED, 0, 0)]
    assert await rows(stored) == before
    assert await remove(stored) == Removed(roots=2, children=4)


async def test_a_root_that_somebody_has_in_hand_is_passed_over(
    stored: StoredJobs, database_url: str
) -> None:
    held = await ended_ago(stored, 40, await stored.ended_root("a", JobStatus.FAILED))
    free = await ended_ago(stored, 40, await stored.ended_root("b", JobStatus.FAILED))

    async with connected(database_url) as other, other.transaction():
        await other.execute("SELECT FROM mqjobs.job WHERE id = $1 FOR NO KEY UPDATE", held)
        assert await remove(stored) == Removed(roots=1, children=1)

    assert await stored.status(free) is None
    assert await stored.status(held) is JobStatus.FAILED
    assert await remove(stored) == Removed(roots=1, children=1)


async def test_a_call_takes_few_roots_where_they_have_many_children(stored: StoredJobs) -> None:
    for name in ("a", "b", "c"):
        root_id = await ended_ago(stored, 40, await stored.ended_root(name, JobStatus.FAILED))
        await stored.connection.execute(
            "UPDATE mqjobs.job SET children = $2, children_failed = $2 WHERE id = $1",
            root_id,
            cleanup.CHILDREN - 1,
        )

    assert (await remove(stored)).roots == 2
    assert (await remove(stored)).roots == 1
