"""Root jobs: one active one for each name, and what follows from their end."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from mqjobs.model.message import Binding
from mqjobs.model.status import JobStatus
from mqjobs.store.children import Dependent
from mqjobs.store.database import Connection
from mqjobs.store.messages import bind
from mqjobs.store.roots import (
    Moved,
    NameTaken,
    NewRoot,
    RootFound,
    create_root,
    find_root,
    move_roots,
)
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import TOPIC, StoredJobs, connected

SOON = timedelta(minutes=1)


def new_root(
    name: str = "work", owner: str = "owner", stale: timedelta | None = None, **fields: Any
) -> NewRoot:
    return NewRoot(owner, name, an_envelope(TOPIC, **fields), stale)


async def root_row(connection: Connection, root_id: int) -> Any:
    return await connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", root_id)


async def counters(connection: Connection, root_id: int) -> tuple[int, ...]:
    """All children of the root, and those that ended well, badly, by cancellation, as stale."""
    row = await root_row(connection, root_id)
    return tuple(
        row[name]
        for name in (
            "children",
            "children_success",
            "children_failed",
            "children_cancelled",
            "children_stale",
        )
    )


async def test_a_root_is_born_new_with_its_own_child_of_the_same_name(
    connection: Connection,
) -> None:
    new = new_root(headers={"tenant": "nord"})

    root = await create_root(connection, new)

    assert isinstance(root, RootFound)
    assert (root.status, root.created) == (JobStatus.NEW, True)
    row, own = await root_row(connection, root.id), await root_row(connection, root.own_child_id)
    assert (row["owner_id"], row["name"], row["is_unique"], row["children"]) == (
        "owner",
        "work",
        True,
        1,
    )
    assert (own["root_id"], own["name"], own["status"], own["is_own_child"]) == (
        root.id,
        "work",
        "new",
        True,
    )
    assert (own["topic"], own["headers"]) == (TOPIC, {"tenant": "nord"})


async def test_a_root_may_be_made_without_a_message(connection: Connection) -> None:
    root = await create_root(connection, NewRoot("owner", "work", None, None))

    assert isinstance(root, RootFound)
    assert (await root_row(connection, root.own_child_id))["topic"] is None


async def test_the_same_owner_and_name_find_the_same_root(connection: Connection) -> None:
    made = await create_root(connection, new_root())
    found = await create_root(connection, new_root())

    assert isinstance(made, RootFound)
    assert found == RootFound(made.id, made.own_child_id, JobStatus.NEW, created=False)
    assert await find_root(connection, "owner", "work") == found
    assert await find_root(connection, "owner", "other") is None
    assert await find_root(connection, "other", "work") is None


async def test_a_name_that_is_taken_tells_by_whom(connection: Connection) -> None:
    made = await create_root(connection, new_root())
    refused = await create_root(connection, new_root(owner="second"))

    assert isinstance(made, RootFound)
    assert refused == NameTaken(made.id)


async def test_an_ended_root_keeps_its_owner_and_frees_its_name(work: StoredJobs) -> None:
    ended = await work.ended_root("work", JobStatus.FAILED)

    again = await work.root("work")

    assert again.created
    assert again.id != ended


async def test_of_many_that_ask_for_one_name_at_once_one_gets_it(database_url: str) -> None:
    async def ask(owner: str) -> RootFound | NameTaken:
        async with connected(database_url) as connection, connection.transaction():
            return await create_root(connection, new_root(owner=owner))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(f"owner {number}")) for number in range(6)]

    answers = [task.result() for task in tasks]
    [root] = [answer for answer in answers if isinstance(answer, RootFound)]
    assert [answer for answer in answers if isinstance(answer, NameTaken)] == [
        NameTaken(root.id)
    ] * 5


async def test_of_many_of_one_owner_at_once_all_find_the_same_root(database_url: str) -> None:
    async def ask() -> RootFound | NameTaken:
        async with connected(database_url) as connection, connection.transaction():
            return await create_root(connection, new_root())

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask()) for _ in range(6)]

    answers = [task.result() for task in tasks]
    assert len({answer.id for answer in answers if isinstance(answer, RootFound)}) == 1
    assert sum(isinstance(answer, RootFound) and answer.created for answer in answers) == 1


async def test_a_quiet_root_gives_its_name_up_and_is_stale_with_its_open_children(
    work: StoredJobs,
) -> None:
    root = await work.root()
    own = await work.run(root.own_child_id)
    done, waiting = await work.children(own, "done", "waiting")
    await work.end(await work.run(done), JobStatus.SUCCESS)
    await work.quiet(root.id)

    taker = await work.stale_takeover("work")

    assert taker != root.id
    assert [await work.status(each) for each in (root.id, own.id, done, waiting)] == [
        JobStatus.STALE,
        JobStatus.STALE,
        JobStatus.SUCCESS,
        JobStatus.STALE,
    ]
    assert await counters(work.connection, root.id) == (3, 1, 0, 0, 2)


async def test_a_root_in_which_something_just_happened_keeps_its_name(work: StoredJobs) -> None:
    root = await work.root()

    assert await create_root(work.connection, new_root(stale=SOON)) == NameTaken(root.id)


async def test_a_root_that_never_becomes_stale_keeps_its_name(work: StoredJobs) -> None:
    root = await work.root()
    await work.quiet(root.id, timedelta(days=365))

    assert await create_root(work.connection, new_root(stale=None)) == NameTaken(root.id)


@pytest.mark.parametrize(("alive", "keeps"), [(True, True), (False, False)])
async def test_a_delayed_child_that_runs_in_a_live_consumer_protects_its_root(
    work: StoredJobs, alive: bool, keeps: bool
) -> None:
    root = await work.root()
    [child] = await work.children(await work.run(root.own_child_id), "one")
    await work.run(child, await work.consumer(alive=alive))
    await work.quiet(root.id)

    answer = await create_root(work.connection, new_root(stale=SOON))

    assert isinstance(answer, NameTaken) == keeps


async def test_its_own_child_alone_does_not_protect_a_root(work: StoredJobs) -> None:
    root = await work.root()
    await work.run(root.own_child_id)
    await work.quiet(root.id)

    assert isinstance(await create_root(work.connection, new_root(stale=SOON)), RootFound)


async def test_counters_progress_and_status_follow_the_children(work: StoredJobs) -> None:
    root = await work.root()
    own = await work.run(root.own_child_id)
    one, two = await work.children(own, "one", "two")
    await work.end(own, JobStatus.SUCCESS)
    await work.end(await work.run(one), JobStatus.FAILED)

    half = await root_row(work.connection, root.id)
    assert (half["status"], float(half["progress"])) == ("running", 0.6667)
    assert await counters(work.connection, root.id) == (3, 1, 1, 0, 0)

    await work.end(await work.run(two), JobStatus.SUCCESS)

    whole = await root_row(work.connection, root.id)
    assert (whole["status"], float(whole["progress"])) == ("failed", 1)
    assert whole["stopped_at"] is not None


async def test_a_root_that_has_ended_is_moved_no_more(work: StoredJobs) -> None:
    root_id = await work.ended_root("work", JobStatus.SUCCESS)
    before = await root_row(work.connection, root_id)

    await move_roots(work.connection, [Moved(root_id, JobStatus.FAILED)])

    assert await root_row(work.connection, root_id) == before


@pytest.mark.parametrize(
    ("end", "goes_out"),
    [
        (JobStatus.SUCCESS, {"success", "both"}),
        (JobStatus.FAILED, {"failed", "both"}),
        (JobStatus.CANCELLED, set()),
    ],
)
async def test_dependent_messages_go_out_with_the_end_that_they_wait_for(
    work: StoredJobs, end: JobStatus, goes_out: set[str]
) -> None:
    root = await work.root()
    own = await work.run(root.own_child_id)
    await work.dependents(
        own,
        Dependent(an_envelope(TOPIC, body=b"success"), JobStatus.SUCCESS),
        Dependent(an_envelope(TOPIC, body=b"failed"), JobStatus.FAILED),
        Dependent(an_envelope(TOPIC, body=b"both"), None),
    )
    await work.empty_outbox()

    await work.end(own, end)

    sent = await work.connection.fetch("SELECT body FROM mqjobs.message")
    assert {row["body"].decode() for row in sent} == goes_out


async def test_an_end_is_announced_to_those_who_subscribe_and_to_no_other(
    work: StoredJobs,
) -> None:
    await work.ended_root("unheard", JobStatus.SUCCESS)
    await work.empty_outbox()
    await bind(work.connection, [Binding("ends", "mqjobs.root_job_stopped")])

    root_id = await work.ended_root('a "name"', JobStatus.FAILED)

    [row] = await work.connection.fetch("SELECT * FROM mqjobs.message WHERE queue = 'ends'")
    assert row["topic"] == "mqjobs.root_job_stopped"
    read = await work.connection.fetchval("SELECT convert_from($1, 'UTF8')::jsonb", row["body"])
    assert read == {"job_id": root_id, "name": 'a "name"', "status": "failed"}


async def test_a_connection_that_knows_nothing_of_ours_can_make_roots(
    other: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    undone = other.transaction()
    await undone.start()

    assert isinstance(await create_root(other, new_root(headers={"a": "b"})), RootFound)

    await undone.rollback()
