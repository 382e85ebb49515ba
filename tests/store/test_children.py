"""Delayed children: created once, with their messages, by the run that owns the root; reports of runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mqjobs.model.errors import JobError, LeaseLost
from mqjobs.model.job import Job
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.store.children import (
    Dependent,
    NewChild,
    OwnRun,
    add_dependents,
    children_by_name,
    create_children,
    hold_lease,
    report,
    reserve_ids,
)
from mqjobs.store.database import Connection
from mqjobs.store.interrupts import interrupt
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import QUEUE, TOPIC, StoredJobs


@pytest.fixture
async def own(work: StoredJobs) -> Job:
    """The own child of a new root, running."""
    return await work.run((await work.root()).own_child_id)


def run_of(own: Job) -> OwnRun:
    return OwnRun(own.root_id or 0, own.id, own.lease)


async def create(connection: Connection, own: Job, *names: str, **fields: Any) -> int:
    ids = await reserve_ids(connection, len(names))
    new = [
        NewChild(name, an_envelope(TOPIC, job_id=job_id, **fields))
        for job_id, name in zip(ids, names, strict=True)
    ]
    return await create_children(connection, run_of(own), new)


async def row_of(connection: Connection, job_id: int) -> Any:
    return await connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", job_id)


async def messages(connection: Connection) -> list[Any]:
    return await connection.fetch(
        "SELECT *, available_at - clock_timestamp() AS wait FROM mqjobs.message ORDER BY job_id"
    )


async def test_ids_that_are_reserved_are_nobody_elses(connection: Connection) -> None:
    first, second = await reserve_ids(connection, 3), await reserve_ids(connection, 3)

    assert len({*first, *second}) == 6


async def test_children_are_created_new_with_their_messages(
    connection: Connection, own: Job
) -> None:
    expires_at = datetime(2040, 1, 1, tzinfo=UTC)
    created = await create(
        connection,
        own,
        "one",
        "two",
        body=b"{}",
        headers={"tenant": "nord"},
        priority=Priority.HIGH,
        delay=timedelta(minutes=5),
        expires_at=expires_at,
    )

    assert created == 2
    found = await children_by_name(connection, own.root_id or 0, ["one", "two", "three"])
    assert set(found) == {"one", "two"}
    assert {child.status for child in found.values()} == {JobStatus.NEW}
    one, two = await messages(connection)
    assert [one["job_id"], two["job_id"]] == [found["one"].id, found["two"].id]
    assert (one["queue"], one["headers"], one["priority"]) == (QUEUE, {"tenant": "nord"}, 3)
    assert one["expires_at"] == expires_at
    assert timedelta(minutes=4) < one["wait"] <= timedelta(minutes=5)


async def test_a_name_that_the_root_has_gives_no_second_child_and_no_second_message(
    connection: Connection, own: Job
) -> None:
    await create(connection, own, "one")

    assert await create(connection, own, "one", "two", "two") == 1

    assert len(await messages(connection)) == 2
    row = await row_of(connection, own.root_id or 0)
    assert row["children"] == 3


async def test_children_of_an_interrupted_root_are_cancelled_from_the_start(
    connection: Connection, own: Job
) -> None:
    await create(connection, own, "before")
    await interrupt(connection, own.root_id or 0)
    await connection.execute("DELETE FROM mqjobs.message")

    assert await create(connection, own, "after") == 1

    found = await children_by_name(connection, own.root_id or 0, ["after"])
    assert found["after"].status is JobStatus.CANCELLED
    assert await messages(connection) == []


@pytest.mark.parametrize("act", ["create", "depend", "hold"])
async def test_a_run_that_lost_its_lease_writes_nothing(
    connection: Connection, own: Job, act: str
) -> None:
    await connection.execute("UPDATE mqjobs.job SET lease = lease + 1 WHERE id = $1", own.id)
    acts = {
        "create": create(connection, own, "one"),
        "depend": add_dependents(connection, run_of(own), [Dependent(an_envelope(TOPIC), None)]),
        "hold": hold_lease(connection, run_of(own)),
    }
    for name, each in acts.items():
        if name != act:
            each.close()

    with pytest.raises(LeaseLost, match=f"job {own.id} is no longer run under lease 1"):
        await acts[act]

    assert await messages(connection) == []
    assert await connection.fetchval("SELECT count(*) FROM mqjobs.dependent_message") == 0


async def test_a_dependent_message_that_is_added_again_is_there_once(
    connection: Connection, own: Job
) -> None:
    dependent = Dependent(an_envelope(TOPIC, headers={"a": "b"}), JobStatus.FAILED)

    await add_dependents(connection, run_of(own), [dependent])
    await add_dependents(connection, run_of(own), [dependent])

    [row] = await connection.fetch("SELECT * FROM mqjobs.dependent_message")
    assert (row["message_id"], row["headers"], row["on_status"], row["sent_at"]) == (
        dependent.envelope.id,
        {"a": "b"},
        "failed",
        None,
    )


async def test_a_report_is_seen_and_counts_as_activity(
    connection: Connection, work: StoredJobs, own: Job
) -> None:
    await work.quiet(own.root_id or 0)

    await report(
        connection,
        own.id,
        own.lease,
        progress=0.25,
        data={"note": "half", "rows": 5},
        max_bytes=10_000,
    )
    await report(
        connection, own.id, own.lease, progress=None, data={"note": "more"}, max_bytes=10_000
    )
    await report(connection, own.id, own.lease, progress=0.5, data={}, max_bytes=10_000)

    row = await row_of(connection, own.id)
    assert (float(row["progress"]), row["data"]) == (0.5, {"note": "more", "rows": 5})
    assert await connection.fetchval(
        "SELECT last_active_at > now() - interval '1 min' FROM mqjobs.job WHERE id = $1",
        own.root_id,
    )


async def test_a_report_of_a_run_that_is_over_is_not_written(
    connection: Connection, work: StoredJobs, own: Job
) -> None:
    await work.end(own, JobStatus.SUCCESS)

    with pytest.raises(LeaseLost, match="its report was not written"):
        await report(connection, own.id, own.lease, progress=0.1, data=None, max_bytes=10_000)


@pytest.mark.parametrize(
    "data",
    [
        {"note": "a\x00b"},
        {"note": "caf\udce9"},
        {"rows": float("nan")},
        {"rows": float("inf")},
        {"at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"rows": {1, 2}},
    ],
    ids=repr,
)
async def test_a_report_that_cannot_be_kept_says_so(
    connection: Connection, own: Job, data: dict[str, Any]
) -> None:
    with pytest.raises(JobError, match=f"the report of job {own.id} cannot be kept"):
        await report(connection, own.id, own.lease, progress=None, data=data, max_bytes=10_000)
