"""Runs in a consumer's name that it does not hold: found, and given back once."""

from mqjobs.model.status import JobStatus
from mqjobs.store.interrupts import interrupt
from mqjobs.store.roots import NewRoot, RootFound, create_root
from mqjobs.store.unheld import give_back, not_held
from tests.support.stored_jobs import StoredJobs


async def test_what_a_consumer_runs_and_does_not_hold_is_found(work: StoredJobs) -> None:
    mine, other = await work.consumer(), await work.consumer()
    held, lost, _ = [
        await work.run((await work.root(name)).own_child_id, consumer_id)
        for name, consumer_id in (("a", mine), ("b", mine), ("c", other))
    ]

    assert await not_held(work.connection, mine, {held.id}) == {lost.id: lost.lease}


async def test_what_is_given_back_runs_again_under_another_lease_and_no_attempt_is_counted(
    work: StoredJobs,
) -> None:
    mine = await work.consumer()
    lost = await work.run((await work.root()).own_child_id, mine)

    assert await give_back(work.connection, mine, {lost.id: lost.lease}) == [lost.id]
    assert await give_back(work.connection, mine, {lost.id: lost.lease}) == []

    row = await work.connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", lost.id)
    assert row is not None
    assert (row["status"], row["attempt"], row["crashes"]) == ("failed_redelivered", 0, 0)
    assert row["lease"] == lost.lease + 1
    [message] = await work.connection.fetch("SELECT * FROM mqjobs.message")
    assert (message["message_id"], message["attempt"]) == (row["message_id"], 1)


async def test_what_is_another_consumers_or_has_another_lease_stays(work: StoredJobs) -> None:
    mine = await work.consumer()
    job = await work.run((await work.root()).own_child_id, mine)

    assert await give_back(work.connection, await work.consumer(), {job.id: job.lease}) == []
    assert await give_back(work.connection, mine, {job.id: job.lease + 1}) == []

    assert await work.status(job.id) is JobStatus.RUNNING


async def test_what_was_interrupted_is_cancelled_instead(work: StoredJobs) -> None:
    mine = await work.consumer()
    job = await work.run((await work.root()).own_child_id, mine)
    await interrupt(work.connection, job.id)

    await give_back(work.connection, mine, {job.id: job.lease})

    assert await work.status(job.id) is JobStatus.CANCELLED
    assert await work.status(job.root_id or 0) is JobStatus.CANCELLED


async def test_what_no_message_can_start_again_has_failed(work: StoredJobs) -> None:
    root = await create_root(work.connection, NewRoot("owner", "by hand", None, None))
    assert isinstance(root, RootFound)
    mine = await work.consumer()
    job = await work.run(root.own_child_id, mine)

    await give_back(work.connection, mine, {job.id: job.lease})

    assert await work.status(job.id) is JobStatus.FAILED
