"""The reconciler: finds nothing where all is well, and repairs what is not."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count
from mqjobs.runtime import reconciler
from mqjobs.runtime.reconciler import reconcile_quiet_roots, run_reconciler
from tests.support.envelopes import an_envelope
from tests.support.surroundings import Surroundings
from tests.support.waiting import eventually

NOW = timedelta(0)
OFTEN = timedelta(milliseconds=20)


async def spoil(around: Surroundings, root_id: int, change: str) -> None:
    """What should never happen to a root, an hour ago."""
    await around.pool.execute(
        f"UPDATE mqjobs.job SET {change}, last_active_at = now() - interval '1 h' WHERE id = $1",
        root_id,
    )


async def test_a_healthy_root_is_left_alone(around: Surroundings) -> None:
    await around.claimed()

    with capture_logs() as lines:
        assert await reconcile_quiet_roots(around.services.store, NOW) == 0

    assert lines == []


async def test_counters_that_are_wrong_are_set_right_with_a_warning(around: Surroundings) -> None:
    job = await around.claimed()
    await spoil(around, job.root_id or 0, "children = 9, children_failed = 3")

    with capture_logs() as lines:
        assert await reconcile_quiet_roots(around.services.store) == 1
        assert await reconcile_quiet_roots(around.services.store, NOW) == 0

    root = await around.job(job.root_id)
    assert (root.children, root.children_failed) == (1, 0)
    assert around.services.tally.counts()[Count.REPAIRS, "counters"] == 1
    assert [(line["event"], line["root_id"], line["repair"]) for line in lines] == [
        ("reconciled", root.id, "counters")
    ]


async def test_a_healthy_root_that_somebody_has_in_hand_is_waited_for_by_nobody(
    around: Surroundings,
) -> None:
    job = await around.claimed("held")
    wrong = await around.claimed("wrong")
    await spoil(around, wrong.root_id or 0, "children = 9")

    async with around.held_up(job), asyncio.timeout(10):
        assert await reconcile_quiet_roots(around.services.store, NOW) == 1


async def test_a_root_in_which_something_just_happened_is_not_looked_at(
    around: Surroundings,
) -> None:
    job = await around.claimed()
    await around.pool.execute("UPDATE mqjobs.job SET children = 9 WHERE root_id IS NULL")

    assert await reconcile_quiet_roots(around.services.store) == 0

    assert (await around.job(job.root_id)).children == 9


async def test_every_quiet_root_gets_its_look_however_many_there_are(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "PAGE", 2)
    jobs = [await around.claimed(f"work {number}") for number in range(5)]
    await spoil(around, jobs[-1].root_id or 0, "children = 9")

    assert await reconcile_quiet_roots(around.services.store, NOW) == 1


async def test_a_root_whose_children_were_deleted_by_hand_does_not_end_the_consumer(
    around: Surroundings,
) -> None:
    job = await around.claimed()
    await spoil(around, job.root_id or 0, "children = 1")
    await around.pool.execute("DELETE FROM mqjobs.job WHERE id = $1", job.id)

    assert await reconcile_quiet_roots(around.services.store) == 0

    assert (await around.job(job.root_id)).status is JobStatus.RUNNING


@pytest.mark.parametrize(("needs_relay", "told"), [(True, [("outbox_overdue", 1)]), (False, [])])
async def test_messages_that_a_relay_should_have_carried_long_ago_are_told_of(
    around: Surroundings, needs_relay: bool, told: list[tuple[str, int]]
) -> None:
    await around.services.store.send([an_envelope("tests.note")])
    await around.pool.execute("UPDATE mqjobs.message SET available_at = now() - interval '1 h'")
    job, stop = await around.claimed(), asyncio.Event()
    await spoil(around, job.root_id or 0, "children = 9")

    with capture_logs() as lines:
        async with asyncio.TaskGroup() as group:
            group.create_task(
                run_reconciler(around.services.store, stop, interval=OFTEN, needs_relay=needs_relay)
            )
            await eventually(lambda: any(line["event"] == "reconciled" for line in lines))
            stop.set()

    overdue = [line for line in lines if line["event"] != "reconciled"]
    assert [(line["event"], line["messages"]) for line in overdue] == told


async def test_it_looks_again_and_again_until_stopped(around: Surroundings) -> None:
    stop, job = asyncio.Event(), await around.claimed()

    async def is_right() -> bool:
        return (await around.job(job.root_id)).children == 1

    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_reconciler(around.services.store, stop, interval=OFTEN, needs_relay=True)
        )
        for _ in range(2):
            await spoil(around, job.root_id or 0, "children = 9")
            await eventually(is_right)
        stop.set()


async def test_a_root_that_somebody_has_in_hand_is_repaired_later_and_holds_up_no_other(
    around: Surroundings,
) -> None:
    held, free = await around.claimed("held"), await around.claimed("free")
    for job in (held, free):
        await spoil(around, job.root_id or 0, "children = 9")

    async with around.held_up(held):
        assert await reconcile_quiet_roots(around.services.store, NOW) == 1
        assert (await around.job(free.root_id)).children == 1

    assert await reconcile_quiet_roots(around.services.store, NOW) == 1
