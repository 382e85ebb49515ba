"""The job that a callback is handed."""

from dataclasses import fields
from datetime import UTC, datetime

import pytest

from mqjobs.model.errors import JobError, LeaseLost
from mqjobs.model.job import Job
from mqjobs.processing.running_job import RunningJob
from tests.support.surroundings import Surroundings


async def test_it_says_all_that_the_job_says(around: Surroundings) -> None:
    job = await around.claimed()

    running = RunningJob.of(job, around.services.store, max_bytes=10_000)

    assert all(getattr(running, each.name) == getattr(job, each.name) for each in fields(Job))
    assert "store" not in repr(running)


async def test_operators_see_what_it_reports(around: Surroundings) -> None:
    running = RunningJob.of(await around.claimed(), around.services.store, max_bytes=10_000)

    await running.report(progress=0.4, note="half", rows=5)
    await running.report(note="more")

    written = await around.job(running.id)
    assert (written.progress, written.data) == (0.4, {"note": "more", "rows": 5})


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
async def test_a_progress_that_is_none_is_refused(around: Surroundings, progress: float) -> None:
    running = RunningJob.of(await around.claimed(), around.services.store, max_bytes=10_000)

    with pytest.raises(JobError, match=f"progress {progress!r} of job {running.id}: give 0 to 1"):
        await running.report(progress=progress)


async def test_data_that_cannot_be_kept_are_refused(around: Surroundings) -> None:
    running = RunningJob.of(await around.claimed(), around.services.store, max_bytes=10_000)

    with pytest.raises(JobError, match="give JSON values without NUL"):
        await running.report(at=datetime.now(UTC))


async def test_a_report_of_a_run_that_lost_its_lease_is_refused(around: Surroundings) -> None:
    running = RunningJob.of(await around.claimed(), around.services.store, max_bytes=10_000)
    await around.pool.execute("UPDATE mqjobs.job SET lease = lease + 1")

    with pytest.raises(LeaseLost):
        await running.report(progress=0.5)


async def test_data_that_are_too_large_with_what_was_reported_before_are_refused(
    around: Surroundings,
) -> None:
    running = RunningJob.of(await around.claimed(), around.services.store, max_bytes=100)
    await running.report(progress=0.1, one="x" * 50)

    with pytest.raises(JobError, match=rf"the data of job {running.id} would have \d+ bytes, 100"):
        await running.report(progress=0.2, two="x" * 50)

    written = await around.job(running.id)
    assert (written.progress, written.data) == (0.1, {"one": "x" * 50})
