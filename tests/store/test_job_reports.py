from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mqjobs.model.errors import UnknownJob
from mqjobs.model.status import JobStatus
from mqjobs.store import job_reports
from mqjobs.store.children import Dependent
from mqjobs.store.job_reports import RootsWanted
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import TOPIC, StoredJobs, connected

STALE_TIME = timedelta(minutes=30)


def stale_after(name: str) -> timedelta | None:
    return None if name.startswith("never") else STALE_TIME


@pytest.fixture
async def stored(database_url: str) -> AsyncIterator[StoredJobs]:
    async with connected(database_url) as connection:
        yield StoredJobs(connection)


async def test_a_job_is_read_by_its_id(stored: StoredJobs) -> None:
    root = await stored.root("reindex")

    found = await job_reports.job(stored.connection, root.id, stale_after)
    own = await job_reports.job(stored.connection, root.own_child_id, stale_after)

    assert (found.name, found.status, found.children) == ("reindex", JobStatus.NEW, 1)
    assert found.is_root
    assert own.root_id == root.id
    assert own.own_child


@pytest.mark.parametrize("job_id", [-1, 0, 4711, 2**64])
async def test_an_id_that_no_job_has_is_an_error(stored: StoredJobs, job_id: int) -> None:
    with pytest.raises(UnknownJob, match=f"no job {job_id}"):
        await job_reports.job(stored.connection, job_id, stale_after)


async def test_roots_come_newest_first_a_page_at_a_time(stored: StoredJobs) -> None:
    ids = [(await stored.root(f"work:{number}")).id for number in range(5)]

    first = await job_reports.roots(stored.connection, RootsWanted(limit=3), stale_after)
    rest = await job_reports.roots(
        stored.connection, RootsWanted(limit=3, before=first[-1].id), stale_after
    )

    assert [root.id for root in first] == ids[:1:-1]
    assert [root.id for root in rest] == ids[1::-1]


async def test_roots_are_found_by_status_and_by_a_part_of_their_name(stored: StoredJobs) -> None:
    done = await stored.ended_root("search.index:a", JobStatus.SUCCESS)
    failed = await stored.ended_root("search.index:b", JobStatus.FAILED)
    other = await stored.ended_root("mail.run", JobStatus.FAILED)
    waiting = (await stored.root("search.index:c")).id

    async def ids(wanted: RootsWanted) -> list[int]:
        found = await job_reports.roots(stored.connection, wanted, stale_after)
        return [root.id for root in found]

    assert await ids(RootsWanted(statuses=[JobStatus.FAILED])) == [other, failed]
    assert await ids(RootsWanted(name="search.")) == [waiting, failed, done]
    assert await ids(RootsWanted(name="index:")) == [waiting, failed, done]
    assert await ids(RootsWanted(statuses=[JobStatus.FAILED, JobStatus.NEW], name="search")) == [
        waiting,
        failed,
    ]
    assert await ids(RootsWanted(name="%")) == []


async def test_children_come_oldest_first_by_status_a_page_at_a_time(stored: StoredJobs) -> None:
    root = await stored.root()
    own = await stored.run(root.own_child_id)
    waiting = await stored.children(own, "a", "b", "c", "d")
    running = waiting.pop(1)
    await stored.run(running)

    async def ids(**wanted: object) -> list[int]:
        found = await job_reports.children(stored.connection, root.id, **wanted)  # type: ignore[arg-type]
        return [child.id for child in found]

    assert await ids() == sorted([root.own_child_id, running, *waiting])
    assert await ids(status=JobStatus.NEW, limit=2) == waiting[:2]
    assert await ids(status=JobStatus.NEW, limit=2, after=waiting[1]) == waiting[2:]
    assert await ids(status=JobStatus.RUNNING) == [root.own_child_id, running]
    assert await ids(status=JobStatus.FAILED) == []


async def test_open_children_are_counted_by_status_up_to_a_limit(stored: StoredJobs) -> None:
    root = await stored.root()
    own = await stored.run(root.own_child_id)
    waiting = await stored.children(own, *"abcde")
    await stored.run(waiting[0])

    counts = await job_reports.open_counts(stored.connection, root.id, at_most=3)

    assert counts == {
        JobStatus.NEW: 3,
        JobStatus.RUNNING: 2,
        JobStatus.FAILED_REDELIVERED: 0,
    }


async def test_dependent_messages_are_shown_with_what_they_wait_for(stored: StoredJobs) -> None:
    root = await stored.root()
    own = await stored.run(root.own_child_id)
    always = Dependent(an_envelope(TOPIC, body=b'{"a": 1}'), None)
    after_failure = Dependent(an_envelope(TOPIC), JobStatus.FAILED)
    await stored.dependents(own, always, after_failure)
    await stored.end(own, JobStatus.SUCCESS)

    first, second = await job_reports.dependents(stored.connection, root.id)
    assert (first.envelope.body, first.on, first.sent_at is not None) == (b'{"a": 1}', None, True)
    assert (second.envelope.id, second.on) == (after_failure.envelope.id, JobStatus.FAILED)
    assert second.sent_at is None

    rest = await job_reports.dependents(stored.connection, root.id, after=first.id, limit=1)
    assert [each.id for each in rest] == [second.id]


async def looks_stale(stored: StoredJobs, root_id: int) -> bool:
    """As the root says it of itself, which is as the listings say it."""
    shown = await job_reports.job(stored.connection, root_id, stale_after)
    listed = await job_reports.roots(stored.connection, RootsWanted(), stale_after)
    wanted = RootsWanted(only_stale=True)
    stale = await job_reports.roots(stored.connection, wanted, stale_after)
    assert shown in listed
    assert (root_id in [root.id for root in stale]) is shown.looks_stale
    return shown.looks_stale


async def test_an_active_root_that_was_quiet_for_too_long_looks_stale(stored: StoredJobs) -> None:
    quiet, lively, patient = [(await stored.root(name)).id for name in ("quiet", "b", "never.c")]
    ended = await stored.ended_root("ended", JobStatus.SUCCESS)
    for root_id in (quiet, patient, ended):
        await stored.quiet(root_id)

    assert await looks_stale(stored, quiet)
    assert not await looks_stale(stored, lively)
    assert not await looks_stale(stored, patient)
    assert not await looks_stale(stored, ended)


async def test_a_delayed_child_that_runs_in_a_live_consumer_protects_its_root(
    stored: StoredJobs,
) -> None:
    root = await stored.root()
    own = await stored.run(root.own_child_id)
    [child] = await stored.children(own, "a")
    await stored.quiet(root.id)
    assert await looks_stale(stored, root.id), "neither the own child nor one that waits protects"

    alive = await stored.consumer()
    await stored.run(child, alive)
    await stored.quiet(root.id)
    assert not await looks_stale(stored, root.id)

    await stored.connection.execute("DELETE FROM mqjobs.consumer WHERE id = $1", alive)
    assert await looks_stale(stored, root.id)


async def test_stale_looking_roots_are_found_behind_many_that_are_not(stored: StoredJobs) -> None:
    old = await stored.root("old")
    await stored.quiet(old.id)
    await stored.connection.execute(
        """INSERT INTO mqjobs.job (owner_id, name, is_unique, last_active_at)
           SELECT 'owner ' || number, 'work:' || number, true, now()
             FROM generate_series(1, $1::integer) AS number""",
        2 * job_reports.PAGE + 1,
    )

    wanted = RootsWanted(only_stale=True, limit=2)
    found = await job_reports.roots(stored.connection, wanted, stale_after)

    assert [root.id for root in found] == [old.id]


async def test_consumers_are_shown_with_what_they_run(stored: StoredJobs) -> None:
    busy, idle = await stored.consumer(), await stored.consumer(alive=False)
    root = await stored.root()
    own = await stored.run(root.own_child_id, busy)
    for child in await stored.children(own, "a", "b", "c"):
        await stored.run(child, busy)

    first, second = await job_reports.consumers(stored.connection, jobs_each=2)

    assert (first.id, first.is_alive, first.running) == (busy, True, 4)
    assert [job.name for job in first.jobs] == ["work", "a"]
    assert (second.id, second.is_alive, second.running, second.jobs) == (idle, False, 0, [])


async def test_roots_are_listed_without_a_look_at_those_of_other_statuses(
    stored: StoredJobs,
) -> None:
    await many_roots(stored)
    looked_at = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + job_reports.SQL["roots"]

    plan = await stored.connection.fetch(looked_at, ["running", "new"], job_reports.LAST_ID, "", 50)

    assert not any("Rows Removed by Filter" in line for (line,) in plan), plan


async def many_roots(stored: StoredJobs) -> None:
    """Few active roots among many ended ones, and many children that wait."""
    await stored.connection.execute(
        "INSERT INTO mqjobs.job (id, owner_id, name, status, children, children_success, stopped_at) "
        "SELECT n, n::text, 'ended', 'success', 1, 1, now() FROM generate_series(1, 10000) AS n"
    )
    await stored.connection.execute(
        "INSERT INTO mqjobs.job (id, owner_id, name, status, children) "
        "SELECT n, n::text, 'active', 'running', 1000 FROM generate_series(10001, 10010) AS n"
    )
    await stored.connection.execute(
        "INSERT INTO mqjobs.job (id, root_id, name) "
        "SELECT 20000 + n, 10001 + n % 10, n::text FROM generate_series(1, 30000) AS n"
    )
    await stored.connection.execute("ANALYZE mqjobs.job")
