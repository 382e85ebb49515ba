"""The reconciler's look: a recount, and a repair where it does not agree."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mqjobs.model.status import JobStatus
from mqjobs.store.messages import insert_messages
from mqjobs.store.reconciling import Page, look_at_page, overdue, reconcile, take_turn
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import TOPIC, StoredJobs, connected

HOUR = timedelta(hours=1)


async def a_root(work: StoredJobs) -> int:
    """A running root: its own child runs, one child has ended well, one is new."""
    own = await work.run((await work.root()).own_child_id)
    done, _ = await work.children(own, "done", "waiting")
    await work.end(await work.run(done), JobStatus.SUCCESS)
    return own.root_id or 0


async def row(work: StoredJobs, job_id: int) -> Any:
    return await work.connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", job_id)


async def test_a_root_whose_counters_agree_is_not_touched(work: StoredJobs) -> None:
    root_id = await a_root(work)
    before = await row(work, root_id)

    assert await reconcile(work.connection, root_id) is None

    assert await row(work, root_id) == before


@pytest.mark.parametrize(
    "wrong",
    [
        "children = children + 5",
        "children_success = 0",
        "children_failed = 1",
        "children_cancelled = 1",
        "children_stale = 1",
    ],
)
async def test_counters_that_do_not_agree_are_those_of_the_children_again(
    work: StoredJobs, wrong: str
) -> None:
    root_id = await a_root(work)
    before = await row(work, root_id)
    await work.connection.execute(f"UPDATE mqjobs.job SET {wrong} WHERE id = $1", root_id)

    assert await reconcile(work.connection, root_id) == "counters"

    after = await row(work, root_id)
    counted = [name for name in dict(before) if name.startswith("children")]
    assert [after[name] for name in counted] == [before[name] for name in counted]
    assert after["status"] == "running"


async def test_a_root_all_of_whose_children_have_ended_ends(work: StoredJobs) -> None:
    root_id = await work.ended_root("work", JobStatus.FAILED, ["one"])
    await work.connection.execute(
        "UPDATE mqjobs.job SET status = 'running', stopped_at = NULL, retries = retries + 1"
        " WHERE id = $1",
        root_id,
    )

    assert await reconcile(work.connection, root_id) == "unended root"

    assert await work.status(root_id) is JobStatus.FAILED


async def test_what_has_ended_is_unknown_or_has_no_children_is_left_alone(
    work: StoredJobs,
) -> None:
    ended = await work.ended_root("ended", JobStatus.SUCCESS)
    childless = await work.root("childless")
    await work.connection.execute("DELETE FROM mqjobs.job WHERE root_id = $1", childless.id)

    for root_id in (ended, childless.id, 2**40):
        assert await reconcile(work.connection, root_id) is None


async def test_only_active_roots_that_are_quiet_are_looked_at_page_by_page(
    work: StoredJobs,
) -> None:
    quiet = [(await work.root(name)).id for name in "abc"]
    for root_id in (*quiet, await work.ended_root("ended", JobStatus.SUCCESS)):
        await work.quiet(root_id, 2 * HOUR)
    await work.root("busy")

    first = await look_at_page(work.connection, quiet_for=HOUR, limit=2)
    second = await look_at_page(work.connection, quiet_for=HOUR, after=quiet[1], limit=2)

    assert (first, second) == (Page(quiet[1], []), Page(quiet[2], []))
    assert await look_at_page(work.connection, quiet_for=HOUR, after=quiet[2], limit=2) is None


async def test_a_page_names_those_that_do_not_agree_with_their_children(
    work: StoredJobs,
) -> None:
    healthy, wrong = await a_root(work), (await work.root("wrong")).id
    await work.connection.execute("UPDATE mqjobs.job SET children = 9 WHERE id = $1", wrong)
    unended = await work.ended_root("unended", JobStatus.FAILED, ["one"])
    await work.connection.execute(
        "UPDATE mqjobs.job SET status = 'running', stopped_at = NULL, retries = retries + 1"
        " WHERE id = $1",
        unended,
    )
    childless = (await work.root("childless")).id
    await work.connection.execute("DELETE FROM mqjobs.job WHERE root_id = $1", childless)

    page = await look_at_page(work.connection, quiet_for=timedelta(0))

    assert page == Page(childless, [wrong, unended])
    assert healthy not in page.differing


async def test_of_many_that_ask_at_once_one_has_the_turn_until_the_interval_is_over(
    database_url: str,
) -> None:
    async def ask() -> bool:
        async with connected(database_url) as connection:
            return await take_turn(connection, "sweep", HOUR)

    async with asyncio.TaskGroup() as group:
        turns = [group.create_task(ask()) for _ in range(6)]
    assert [turn.result() for turn in turns].count(True) == 1

    async with connected(database_url) as connection:
        assert await take_turn(connection, "something else", HOUR)
        await connection.execute("UPDATE mqjobs.turn SET taken_at = taken_at - interval '2 h'")
        assert await take_turn(connection, "sweep", HOUR)


async def test_messages_that_are_late_are_counted(work: StoredJobs) -> None:
    await insert_messages(work.connection, [an_envelope(TOPIC) for _ in range(3)])
    await work.connection.execute(
        "UPDATE mqjobs.message SET available_at = now() - interval '2 h'"
        " WHERE id IN (SELECT id FROM mqjobs.message LIMIT 2)"
    )

    assert await overdue(work.connection, HOUR) == 2
