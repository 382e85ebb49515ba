"""Dependent messages: added to a list, saved for the root that runs here."""

from typing import Any

import pytest

from mqjobs.model.errors import (
    InvalidMessage,
    JobError,
    LeaseLost,
    NotARootJob,
    NotInUniqueJob,
)
from mqjobs.model.job import Job
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.processing.dependent_jobs import DependentJobs
from mqjobs.store.children import OwnRun
from tests.support.surroundings import Surroundings
from tests.support.topics import Note


async def a_run(around: Surroundings) -> tuple[DependentJobs, Job, Job]:
    """Dependent jobs of an attempt that runs a root; the root, and its own child."""
    own = await around.claimed()
    dependent_jobs = DependentJobs(around.services)
    dependent_jobs.admit(OwnRun(own.root_id or 0, own.id, own.lease))
    return dependent_jobs, await around.job(own.root_id), own


async def saved(around: Surroundings) -> list[Any]:
    return await around.pool.fetch("SELECT * FROM mqjobs.dependent_message ORDER BY id")


async def test_what_was_added_waits_once_it_is_saved(around: Surroundings) -> None:
    dependent_jobs, root, _ = await a_run(around)
    context = dependent_jobs.create_context(root)
    context.add(Note(text="both"), priority=Priority.HIGH)
    context.add(Note(text="failed"), on=JobStatus.FAILED)
    assert await saved(around) == []

    await dependent_jobs.save(context)

    both, failed = await saved(around)
    assert (both["topic"], both["priority"], both["on_status"]) == ("tests.note", 3, None)
    assert (failed["body"], failed["on_status"]) == (b'{"text":"failed"}', "failed")


async def test_saving_adds_to_what_is_there_and_saving_again_adds_nothing(
    around: Surroundings,
) -> None:
    dependent_jobs, root, _ = await a_run(around)
    for text in ("a", "b"):
        context = dependent_jobs.create_context(root)
        context.add(Note(text=text))
        await dependent_jobs.save(context)
        await dependent_jobs.save(context)

    assert [row["body"] for row in await saved(around)] == [b'{"text":"a"}', b'{"text":"b"}']


async def test_only_roots_have_dependent_messages(around: Surroundings) -> None:
    dependent_jobs, _, own = await a_run(around)

    with pytest.raises(NotARootJob, match=f"job {own.id} is a child: .* see runner.root"):
        dependent_jobs.create_context(own)


async def test_a_root_that_is_not_run_here_takes_none(around: Surroundings) -> None:
    dependent_jobs, _, _ = await a_run(around)
    foreign = await around.job((await around.root("foreign")).id)
    context = dependent_jobs.create_context(foreign)
    context.add(Note())

    with pytest.raises(NotInUniqueJob, match=f"root job {foreign.id} is not run here"):
        await dependent_jobs.save(context)


@pytest.mark.parametrize("on", [JobStatus.CANCELLED, JobStatus.STALE, JobStatus.RUNNING])
async def test_a_message_waits_for_success_or_failed_alone(
    around: Surroundings, on: JobStatus
) -> None:
    dependent_jobs, root, _ = await a_run(around)

    with pytest.raises(JobError, match=f"waits for success or failed, not for {on}"):
        dependent_jobs.create_context(root).add(Note(), on=on)


async def test_of_several_of_which_one_is_invalid_none_is_saved(around: Surroundings) -> None:
    dependent_jobs, root, _ = await a_run(around)
    context = dependent_jobs.create_context(root)
    context.add(Note())
    context.add(Note(text="x" * 20_000))

    with pytest.raises(InvalidMessage, match="MQJOBS_MAX_MESSAGE_BYTES"):
        await dependent_jobs.save(context)

    assert await saved(around) == []


async def test_a_run_that_lost_its_lease_saves_none(around: Surroundings) -> None:
    dependent_jobs, root, _ = await a_run(around)
    context = dependent_jobs.create_context(root)
    context.add(Note())
    await around.pool.execute("UPDATE mqjobs.job SET lease = lease + 1 WHERE is_own_child")

    with pytest.raises(LeaseLost):
        await dependent_jobs.save(context)

    assert await saved(around) == []
