from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from mqjobs.model.errors import NotARootJob, RetryRefused, UnknownJob
from mqjobs.model.interruption import Interruption
from mqjobs.model.status import JobStatus
from mqjobs.processing.jobs import Jobs
from mqjobs.store.children import Dependent
from mqjobs.store.cleanup import Removed
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import TOPIC, StoredJobs, connected
from tests.support.stored_services import Wakes, services_on


@dataclass
class Office:
    """An operator's view, and the hand that makes what there is to see."""

    jobs: Jobs
    stored: StoredJobs
    wakes: Wakes


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    wakes = Wakes()
    async with services_on(database_url, wakes) as services, connected(database_url) as connection:
        yield Office(Jobs(services), StoredJobs(connection), wakes)


async def test_a_job_that_is_not_there_is_an_error_everywhere(office: Office) -> None:
    for ask in (
        office.jobs.get,
        office.jobs.children,
        office.jobs.dependents,
        office.jobs.interrupt,
        office.jobs.retry,
    ):
        with pytest.raises(UnknownJob, match="no job 4711"):
            await ask(4711)


async def test_children_and_dependent_messages_are_a_roots(office: Office) -> None:
    root = await office.stored.root()
    own = await office.stored.run(root.own_child_id)
    await office.stored.dependents(own, Dependent(an_envelope(TOPIC), None))

    assert [child.id for child in await office.jobs.children(root.id)] == [own.id]
    assert len(await office.jobs.dependents(root.id)) == 1
    assert await office.jobs.children(root.id, status=JobStatus.FAILED) == []
    for ask in (office.jobs.children, office.jobs.dependents):
        with pytest.raises(NotARootJob, match=f"child of root job {root.id}"):
            await ask(own.id)


async def test_staleness_is_shown_as_the_stale_times_have_it(office: Office) -> None:
    quiet, patient = [await office.stored.root(name) for name in ("quiet", "patient.one")]
    for root in (quiet, patient):
        await office.stored.quiet(root.id)

    assert (await office.jobs.get(quiet.id)).looks_stale
    assert not (await office.jobs.get(patient.id)).looks_stale
    assert [root.id for root in await office.jobs.roots(only_stale=True)] == [quiet.id]
    assert [root.id for root in await office.jobs.roots(name="pat")] == [patient.id]


async def test_an_interrupt_wakes_those_who_carry_what_it_sets_free(office: Office) -> None:
    root = await office.stored.root()

    assert await office.jobs.interrupt(root.id) is Interruption.CANCELLED
    assert office.wakes.count == 1
    assert await office.jobs.interrupt(root.id) is Interruption.ENDED_BEFORE
    assert (await office.jobs.get(root.id)).status is JobStatus.CANCELLED


async def test_a_retry_brings_failed_children_back_and_their_messages_out(office: Office) -> None:
    root_id = await office.stored.ended_root("work", JobStatus.FAILED)

    assert await office.jobs.retry(root_id) == 1

    assert office.wakes.count == 1
    assert (await office.jobs.get(root_id)).status is JobStatus.RUNNING
    with pytest.raises(RetryRefused, match="no failed children"):
        await office.jobs.retry(root_id)


async def test_consumers_are_shown_with_what_they_run(office: Office) -> None:
    consumer = await office.stored.consumer()
    root = await office.stored.root("work")
    await office.stored.run(root.own_child_id, consumer)
    [shown] = await office.jobs.consumers()
    assert (shown.id, [job.name for job in shown.jobs]) == (consumer, ["work"])


async def test_cleaning_up_keeps_successes_two_weeks_and_the_rest_a_month(office: Office) -> None:
    ends = [JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.STALE]
    ended = {}
    for status in ends[:-1]:
        ended[status] = await office.stored.ended_root(status, status)
    stale = await office.stored.root("stale")
    ended[JobStatus.STALE] = stale.id
    await office.stored.quiet(stale.id)
    await office.stored.stale_takeover("stale")

    async def left_after(days: int) -> list[JobStatus]:
        await office.stored.connection.execute(
            "UPDATE mqjobs.job SET stopped_at = now() - $1::interval WHERE stopped_at IS NOT NULL",
            timedelta(days=days),
        )
        counted = sum(each.roots for each in await office.jobs.cleanable())
        assert (await office.jobs.cleanup()).roots == counted
        return [status for status in ends if await office.stored.status(ended[status])]

    assert await left_after(days=13) == ends
    assert await left_after(days=15) == ends[1:]
    assert await left_after(days=29) == ends[1:]
    assert await left_after(days=31) == []


async def test_cleaning_up_goes_on_until_nothing_is_left(office: Office) -> None:
    await office.stored.connection.execute(
        """INSERT INTO mqjobs.job (owner_id, name, status, stopped_at)
           SELECT 'owner ' || number, 'work', 'success', now() - interval '1 year'
             FROM generate_series(1, 450) AS number"""
    )
    assert await office.jobs.cleanup() == Removed(roots=450)
    assert await office.jobs.roots() == []
