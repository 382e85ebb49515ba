"""Retries by an operator: what failed is new again, and its message on its way."""

from dataclasses import replace
from typing import Any

import pytest

from mqjobs.model.errors import RetryRefused, UnknownJob
from mqjobs.model.job import Job
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.store.interrupts import interrupt
from mqjobs.store.retries import retry
from mqjobs.store.roots import NewRoot, RootFound, create_root
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import TOPIC, StoredJobs


async def failed_root(work: StoredJobs) -> tuple[int, dict[str, int]]:
    """An ended root; its children by name: one that failed, one that was a success, the own one too."""
    own = await work.run((await work.root()).own_child_id)
    bad, good = await work.children(
        own, "bad", "good", body=b'{"a": 1}', headers={"tenant": "nord"}, priority=Priority.HIGH
    )
    await work.end(await work.run(bad), JobStatus.FAILED, "boom")
    await work.end(await work.run(good), JobStatus.SUCCESS)
    await work.end(own, JobStatus.SUCCESS)
    await work.empty_outbox()
    return own.root_id or 0, {"bad": bad, "good": good, "own": own.id}


async def row(work: StoredJobs, job_id: int) -> Any:
    return await work.connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", job_id)


async def outbox(work: StoredJobs) -> list[Any]:
    return await work.connection.fetch("SELECT * FROM mqjobs.message ORDER BY id")


async def test_a_failed_child_is_new_again_and_its_message_comes_as_it_was(
    work: StoredJobs,
) -> None:
    _root_id, children = await failed_root(work)

    assert await retry(work.connection, children["bad"]) == 1

    child = await row(work, children["bad"])
    assert (child["status"], child["error"], child["attempt"]) == ("new", None, 0)
    [message] = await outbox(work)
    assert (message["job_id"], message["body"], message["headers"], message["attempt"]) == (
        children["bad"],
        b'{"a": 1}',
        {"tenant": "nord"},
        1,
    )
    assert (message["message_id"], message["priority"]) == (child["message_id"], 3)


async def test_a_child_that_expired_is_retried_although_its_time_is_over(work: StoredJobs) -> None:
    _root_id, children = await failed_root(work)
    await work.connection.execute(
        "UPDATE mqjobs.job SET expires_at = now() - interval '1 h' WHERE id = $1", children["bad"]
    )

    await retry(work.connection, children["bad"])

    [message] = await outbox(work)
    assert message["expires_at"] is None


async def test_its_root_runs_again_and_ends_again(work: StoredJobs) -> None:
    root_id, children = await failed_root(work)

    await retry(work.connection, children["bad"])

    root = await row(work, root_id)
    assert (root["status"], root["stopped_at"], root["children_failed"]) == ("running", None, 0)
    assert float(root["progress"]) == 0.6667
    await work.end(await work.run(children["bad"]), JobStatus.SUCCESS)
    assert await work.status(root_id) is JobStatus.SUCCESS


async def test_retrying_a_root_is_retrying_all_of_it_that_failed(work: StoredJobs) -> None:
    root_id, children = await failed_root(work)

    assert await retry(work.connection, root_id) == 1

    assert await work.status(children["bad"]) is JobStatus.NEW
    assert await work.status(children["good"]) is JobStatus.SUCCESS


async def test_a_root_that_still_runs_gets_its_failed_child_back(work: StoredJobs) -> None:
    own = await work.run((await work.root()).own_child_id)
    [child] = await work.children(own, "one")
    await work.end(await work.run(child), JobStatus.FAILED)

    assert await retry(work.connection, child) == 1

    assert await work.status(child) is JobStatus.NEW
    assert await work.status(own.root_id or 0) is JobStatus.RUNNING


async def test_the_own_child_is_retried_by_the_message_of_its_root(work: StoredJobs) -> None:
    root_id = await work.ended_root("work", JobStatus.FAILED)

    assert await retry(work.connection, root_id) == 1

    [message] = await outbox(work)
    assert message["job_id"] is None


async def test_a_run_from_before_the_retry_finds_its_lease_lost(work: StoredJobs) -> None:
    _root_id, children = await failed_root(work)
    before = await row(work, children["bad"])

    await retry(work.connection, children["bad"])

    assert (await row(work, children["bad"]))["lease"] > before["lease"]


async def test_what_cannot_be_retried_is_refused_with_the_reason(work: StoredJobs) -> None:
    _root_id, children = await failed_root(work)

    with pytest.raises(UnknownJob, match="there is no job 77"):
        await retry(work.connection, 77)
    with pytest.raises(RetryRefused, match="is success: only a failed or cancelled child"):
        await retry(work.connection, children["good"])
    with pytest.raises(RetryRefused, match="has no failed children"):
        await retry(work.connection, await work.ended_root("fine", JobStatus.SUCCESS))


async def test_a_root_whose_name_is_taken_cannot_run_again(work: StoredJobs) -> None:
    root_id, children = await failed_root(work)
    other = await work.root("work")

    async with work.connection.transaction():
        refused = None
        try:
            async with work.connection.transaction():
                await retry(work.connection, children["bad"])
        except RetryRefused as error:
            refused = str(error)

    assert refused == (
        f"root job {root_id} cannot run again while root job {other.id} has the name 'work': "
        "wait for that one, or interrupt it"
    )
    assert await work.status(children["bad"]) is JobStatus.FAILED


async def test_a_root_that_was_interrupted_and_still_runs_stays_interrupted(
    work: StoredJobs,
) -> None:
    own = await work.run((await work.root()).own_child_id)
    bad, slow = await work.children(own, "bad", "slow")
    await work.end(await work.run(bad), JobStatus.FAILED)
    running = await work.run(slow)
    await work.end(own, JobStatus.SUCCESS)
    root_id = own.root_id or 0
    await interrupt(work.connection, root_id)

    with pytest.raises(RetryRefused, match="was interrupted and still runs: retry it when it has"):
        await retry(work.connection, bad)

    assert (await row(work, root_id))["interrupted"]
    await work.end(running, JobStatus.SUCCESS)
    assert await work.status(root_id) is JobStatus.CANCELLED
    assert await retry(work.connection, bad) == 1
    assert not (await row(work, root_id))["interrupted"]


async def test_a_root_that_ran_inside_a_delayed_childs_message_comes_again_with_that_child(
    work: StoredJobs,
) -> None:
    own = await work.run((await work.root()).own_child_id)
    [child] = await work.children(own, "one")
    root = await work.root("inside", an_envelope(TOPIC, job_id=child))
    await work.end(await work.run(root.own_child_id), JobStatus.FAILED)
    await work.empty_outbox()

    await retry(work.connection, root.id)

    [message] = await outbox(work)
    assert message["job_id"] == child


async def test_the_letter_of_a_child_goes_when_its_message_is_on_its_way_again(
    work: StoredJobs,
) -> None:
    own = await work.run((await work.root()).own_child_id)
    envelope = an_envelope(TOPIC)
    one, two = await work.children(own, "one", "two", id=envelope.id)
    for child in (one, two):
        await work.end(await work.run(child), JobStatus.FAILED)
        await work.bury(replace(envelope, job_id=child))

    await retry(work.connection, one)

    letters = await work.connection.fetch(
        "SELECT job_id FROM mqjobs.message WHERE dead_at IS NOT NULL"
    )
    assert [letter["job_id"] for letter in letters] == [two]


async def test_a_stale_root_stays_stale(work: StoredJobs) -> None:
    own: Job = await work.run((await work.root()).own_child_id)
    [child] = await work.children(own, "one")
    await work.end(await work.run(child), JobStatus.FAILED)
    await work.quiet(own.root_id or 0)
    await work.stale_takeover("work")

    with pytest.raises(RetryRefused, match="is stale: send its message again instead"):
        await retry(work.connection, child)


async def test_a_job_that_no_message_started_cannot_be_retried(work: StoredJobs) -> None:
    root = await create_root(work.connection, NewRoot("owner", "by hand", None, None))
    assert isinstance(root, RootFound)
    await work.end(await work.run(root.own_child_id), JobStatus.FAILED)

    with pytest.raises(RetryRefused, match="was not started by a message"):
        await retry(work.connection, root.id)
