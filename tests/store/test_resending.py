"""Messages that were lost: which children wait for one that nobody has, and what is sent for them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from mqjobs.model.job import Job
from mqjobs.model.message import Binding
from mqjobs.model.status import JobStatus
from mqjobs.store.consumers import beat
from mqjobs.store.database import Connection
from mqjobs.store.messages import bind
from mqjobs.store.resending import (
    LostChild,
    lost_children,
    resend,
    somebody_is_silent,
    unsure_queues,
)
from mqjobs.store.roots import NewRoot, create_root
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import QUEUE, TOPIC, StoredJobs, connected

MINUTE = timedelta(minutes=1)
EMPTY = {TOPIC: [QUEUE]}
FIRST = LostChild(0, 0)


async def a_quiet_root(work: StoredJobs, *names: str) -> tuple[Job, list[int]]:
    """A root in which nothing has happened for an hour, and children whose messages are gone."""
    own = await work.run((await work.root()).own_child_id)
    children = await work.children(own, *names)
    await work.empty_outbox()
    await work.quiet(own.root_id or 0)
    return own, children


async def lost(
    work: StoredJobs,
    empty: Mapping[str, Sequence[str]] = EMPTY,
    after: LostChild = FIRST,
    limit: int = 100,
) -> list[int]:
    found = await lost_children(work.connection, empty, quiet_for=MINUTE, after=after, limit=limit)
    return [child.id for child in found]


async def sent_again(work: StoredJobs, empty: Mapping[str, Sequence[str]] = EMPTY) -> list[int]:
    """The children whose messages were sent again, of all that wait for one."""
    rows = await work.connection.fetch("SELECT id, root_id FROM mqjobs.job WHERE root_id > 0")
    children = [LostChild(row["root_id"], row["id"]) for row in rows]
    by_root = await resend(work.connection, children, empty, quiet_for=MINUTE)
    return sorted(job_id for job_ids in by_root.values() for job_id in job_ids)


async def test_children_that_wait_for_a_message_that_nobody_has_are_found_and_sent_for_once(
    work: StoredJobs,
) -> None:
    _, [one, two, running] = await a_quiet_root(work, "one", "two", "running")
    job = await work.run(running)
    await work.quiet(job.root_id or 0)

    assert await lost(work) == [one, two]
    assert await sent_again(work) == [one, two]

    messages = await work.connection.fetch("SELECT * FROM mqjobs.message ORDER BY id")
    assert [(row["job_id"], row["queue"]) for row in messages] == [(one, QUEUE), (two, QUEUE)]
    assert (await lost(work), await sent_again(work)) == ([], [])


async def test_what_was_sent_again_and_is_lost_again_has_its_time_first(work: StoredJobs) -> None:
    _, [child] = await a_quiet_root(work, "one")
    assert await sent_again(work) == [child]
    await work.empty_outbox()
    assert (await lost(work), await sent_again(work)) == ([], [])

    await work.connection.execute("UPDATE mqjobs.job SET resent_at = resent_at - interval '2 min'")

    assert (await lost(work), await sent_again(work)) == ([child], [child])


async def test_sending_again_is_no_activity(work: StoredJobs) -> None:
    own, [child] = await a_quiet_root(work, "one")
    before = await last_active_at(work, own.root_id)

    assert await sent_again(work) == [child]

    assert await last_active_at(work, own.root_id) == before


async def last_active_at(work: StoredJobs, root_id: int | None) -> datetime:
    found: datetime = await work.connection.fetchval(
        "SELECT last_active_at FROM mqjobs.job WHERE id = $1", root_id
    )
    return found


async def test_a_root_in_which_something_just_happened_is_not_quiet(work: StoredJobs) -> None:
    own, [child] = await a_quiet_root(work, "one")
    await work.quiet(own.root_id or 0, timedelta(0))

    assert (await lost(work), await sent_again(work)) == ([], [])
    assert await work.status(child) is JobStatus.NEW


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(days=1)])
async def test_a_child_whose_message_is_in_the_outbox_has_lost_nothing(
    work: StoredJobs, delay: timedelta
) -> None:
    own = await work.run((await work.root()).own_child_id)
    await work.children(own, "one", delay=delay)
    await work.quiet(own.root_id or 0)

    assert (await lost(work), await sent_again(work)) == ([], [])


@pytest.mark.parametrize("empty", [{}, {"tests.other": [QUEUE]}])
async def test_a_child_of_whose_topic_messages_wait_somewhere_may_have_lost_nothing(
    work: StoredJobs, empty: Mapping[str, Sequence[str]]
) -> None:
    await a_quiet_root(work, "one")

    assert (await lost(work, empty), await sent_again(work, empty)) == ([], [])


async def test_a_root_whose_message_was_lost_is_sent_for_in_the_queue_it_came_to(
    work: StoredJobs,
) -> None:
    await bind(work.connection, [Binding("here", TOPIC), Binding("there", TOPIC)])
    root = await work.root(envelope=an_envelope(TOPIC, queue="here", job_id=None))
    await work.empty_outbox()
    await work.quiet(root.id)

    assert await lost(work, {TOPIC: ["there"]}) == []
    assert await sent_again(work, {TOPIC: ["here", "there"]}) == [root.own_child_id]

    [message] = await work.connection.fetch("SELECT * FROM mqjobs.message")
    assert (message["queue"], message["job_id"]) == ("here", None)


async def test_what_was_made_for_another_message_to_run_or_for_none_waits_for_that(
    work: StoredJobs,
) -> None:
    for new in (
        NewRoot("owner", "by another", an_envelope(TOPIC), None, awaits_message=False),
        NewRoot("owner", "by hand", None, None),
    ):
        root = await create_root(work.connection, new)
        await work.quiet(root.id if hasattr(root, "id") else 0)

    assert (await lost(work), await sent_again(work)) == ([], [])


async def test_it_goes_page_by_page_over_all_roots(work: StoredJobs) -> None:
    _, first = await a_quiet_root(work, "a", "b", "c")
    own = await work.run((await work.root("second")).own_child_id)
    second = await work.children(own, "d", "e")
    await work.empty_outbox()
    await work.quiet(own.root_id or 0)

    found: list[int] = []
    after = FIRST
    while page := await lost_children(
        work.connection, EMPTY, quiet_for=MINUTE, after=after, limit=2
    ):
        found += [child.id for child in page]
        after = page[-1]

    assert found == first + second


async def test_a_root_that_somebody_has_in_hand_is_passed_over(database_url: str) -> None:
    async with connected(database_url) as one, connected(database_url) as two:
        own, [child] = await a_quiet_root(StoredJobs(one), "one")
        async with two.transaction():
            await two.execute("SELECT FROM mqjobs.job WHERE id = $1 FOR UPDATE", own.root_id)
            assert await sent_again(StoredJobs(one)) == []

        assert await sent_again(StoredJobs(one)) == [child]


async def test_a_consumer_without_a_free_slot_or_a_beat_may_hold_what_seems_lost(
    work: StoredJobs,
) -> None:
    long_ago, in_a_while = datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC) + 60 * MINUTE
    full, dead = await work.consumer(), await work.consumer(alive=False)
    await say(work.connection, full, is_full=False)

    assert await unsure_queues(work.connection, long_ago) == set()
    assert await unsure_queues(work.connection, in_a_while) == {QUEUE}
    assert await somebody_is_silent(work.connection, in_a_while)
    assert not await somebody_is_silent(work.connection, long_ago)

    await say(work.connection, full, is_full=True)
    assert await unsure_queues(work.connection, long_ago) == {QUEUE}

    await work.connection.execute("DELETE FROM mqjobs.consumer WHERE id <> $1", dead)
    assert await unsure_queues(work.connection, in_a_while) == set()
    assert not await somebody_is_silent(work.connection, in_a_while)


async def say(connection: Connection, consumer_id: UUID, *, is_full: bool) -> None:
    assert await beat(connection, consumer_id, MINUTE, is_full=is_full)
