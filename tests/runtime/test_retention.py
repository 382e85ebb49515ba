"""Retention: consumers remove what ended long ago, and nothing else."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from mqjobs.model.status import JobStatus
from mqjobs.runtime.retention import run_retention
from mqjobs.store import cleanup
from mqjobs.store.finishes import FinishedRun
from mqjobs.store.job_store import transaction
from mqjobs.store.messages import DeadLetter, insert_dead_letters
from tests.support.envelopes import an_envelope
from tests.support.surroundings import Surroundings
from tests.support.waiting import eventually

OFTEN = timedelta(milliseconds=20)
NEVER = timedelta(hours=1)
DAY = timedelta(days=1)
KEPT_FOR = {JobStatus.SUCCESS: 14 * DAY, JobStatus.FAILED: 30 * DAY}


async def ended(around: Surroundings, name: str, status: JobStatus, ago: timedelta) -> int:
    """A root that came to this end so long ago."""
    job = await around.claimed(name)
    await around.services.store.finish(FinishedRun(job.id, job.lease, status))
    await around.pool.execute(
        "UPDATE mqjobs.job SET stopped_at = now() - $2::interval WHERE id = $1", job.root_id, ago
    )
    assert job.root_id is not None
    return job.root_id


async def roots(around: Surroundings) -> list[int]:
    rows = await around.pool.fetch("SELECT id FROM mqjobs.job WHERE root_id IS NULL ORDER BY id")
    return [row["id"] for row in rows]


def said(lines: Sequence[Mapping[str, Any]], event: str) -> bool:
    return any(line["event"] == event for line in lines)


async def test_what_was_kept_long_enough_goes_and_all_else_stays(around: Surroundings) -> None:
    stop = asyncio.Event()
    await ended(around, "old", JobStatus.SUCCESS, 15 * DAY)
    await ended(around, "older", JobStatus.FAILED, 31 * DAY)
    kept = [
        await ended(around, "young", JobStatus.SUCCESS, 13 * DAY),
        await ended(around, "failed", JobStatus.FAILED, 29 * DAY),
        (await around.root("active")).id,
    ]
    async with around.pool.acquire() as connection:
        await insert_dead_letters(connection, [DeadLetter(an_envelope("tests.note"), "failed", "")])
    await around.pool.execute(
        "UPDATE mqjobs.message SET dead_at = now() - interval '9 years' WHERE dead_at IS NOT NULL"
    )

    with capture_logs() as lines:
        async with asyncio.TaskGroup() as group:
            group.create_task(
                run_retention(around.services.store, stop, interval=NEVER, kept_for=KEPT_FOR)
            )
            await eventually(lambda: said(lines, "cleaned_up"))
            stop.set()

    assert await roots(around) == kept
    assert len(await around.dead_letters()) == 1
    [line] = [line for line in lines if line["event"] == "cleaned_up"]
    assert (line["roots"], line["children"]) == (2, 2)


async def test_it_goes_on_in_small_batches_until_nothing_is_left(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "ROOTS", 2)
    stop = asyncio.Event()
    for number in range(5):
        await ended(around, f"work {number}", JobStatus.SUCCESS, 15 * DAY)

    async def are_gone() -> bool:
        return not await roots(around)

    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_retention(around.services.store, stop, interval=NEVER, kept_for=KEPT_FOR)
        )
        await eventually(are_gone)
        stop.set()


async def test_of_all_consumers_one_does_it_and_nobody_beside_somebody_else(
    around: Surroundings,
) -> None:
    stop, root_id = asyncio.Event(), await ended(around, "old", JobStatus.SUCCESS, 15 * DAY)

    turns = set()

    async def have_had_turns() -> bool:
        turns.add(
            await around.pool.fetchval("SELECT taken_at FROM mqjobs.turn WHERE name = 'cleanup'")
        )
        return len(turns) > 4

    async with asyncio.TaskGroup() as group:
        async with transaction(around.pool) as connection:
            assert await cleanup.have_to_myself(connection)
            for _ in range(3):
                group.create_task(
                    run_retention(around.services.store, stop, interval=OFTEN, kept_for=KEPT_FOR)
                )
            await eventually(have_had_turns)
            assert await roots(around) == [root_id]

        async def is_gone() -> bool:
            return not await roots(around)

        await eventually(is_gone)
        stop.set()


async def test_where_everything_is_kept_for_ever_nobody_looks(around: Surroundings) -> None:
    root_id = await ended(around, "old", JobStatus.SUCCESS, 9000 * DAY)

    stop = asyncio.Event()
    stop.set()
    await run_retention(around.services.store, stop, interval=OFTEN, kept_for={})

    assert await roots(around) == [root_id]
