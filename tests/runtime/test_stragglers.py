"""Stragglers: code that goes on after it was stopped, and runs that nobody holds."""

from datetime import timedelta

from structlog.testing import capture_logs

from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count
from mqjobs.runtime.execution import Execution
from mqjobs.runtime.stragglers import Stragglers
from tests.support.surroundings import Surroundings


def stragglers(around: Surroundings) -> Stragglers:
    execution = Execution(around.services, around.registry(), around.producer, around.pool)
    return Stragglers(around.services, execution, timedelta(0))


async def test_a_run_in_the_consumers_name_that_it_does_not_hold_is_given_back_at_the_second_look(
    around: Surroundings,
) -> None:
    """The answer to its claim was lost, and whoever asked for it is gone."""
    job, looks = await around.claimed(), stragglers(around)

    await looks.give_back_what_is_not_held()
    assert (await around.job(job.id)).status is JobStatus.RUNNING
    with capture_logs() as lines:
        await looks.give_back_what_is_not_held()

    after = await around.job(job.id)
    assert (after.status, after.lease, after.attempt) == (JobStatus.FAILED_REDELIVERED, 2, 0)
    assert [line["job_id"] for line in lines if line["event"] == "run_not_held"] == [job.id]
    assert around.services.tally.counts()[Count.REPAIRS, "run_not_held"] == 1


async def test_a_run_that_is_held_or_being_claimed_is_left_alone(around: Surroundings) -> None:
    held, claimed = await around.claimed("held"), await around.claimed("claimed")
    looks, runs = stragglers(around), around.services.runs

    with runs.held(held.id, held.lease, around.attempt()), runs.claiming(claimed.id):
        for _ in range(3):
            await looks.give_back_what_is_not_held()

    for job in (held, claimed):
        assert (await around.job(job.id)).status is JobStatus.RUNNING


async def test_a_run_that_is_found_so_only_once_is_left_alone(around: Surroundings) -> None:
    job, looks = await around.claimed(), stragglers(around)

    await looks.give_back_what_is_not_held()
    with around.services.runs.held(job.id, job.lease, around.attempt()):
        await looks.give_back_what_is_not_held()
    await looks.give_back_what_is_not_held()

    assert (await around.job(job.id)).status is JobStatus.RUNNING
