"""Delayed children: each created once, with its message, one by one or by the thousand."""

from collections.abc import AsyncIterator, Iterator

import pytest

from mqjobs.model.errors import InvalidJobName, InvalidMessage, LeaseLost
from mqjobs.model.job import Job
from mqjobs.model.message import Outgoing
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.model.topic import Topic
from mqjobs.processing import delayed_children
from mqjobs.processing.delayed_children import DelayedChildren, Start
from mqjobs.processing.running_job import RunningJob
from tests.support.surroundings import Surroundings
from tests.support.topics import Piece


@pytest.fixture
async def own(around: Surroundings) -> RunningJob:
    """The own child of a new root, running."""
    return RunningJob.of(await around.claimed(), around.services.store, max_bytes=10_000)


@pytest.fixture
def children(around: Surroundings, own: RunningJob) -> DelayedChildren:
    return DelayedChildren(around.services, own)


async def count(around: Surroundings) -> tuple[int, int]:
    """How many delayed children and messages there are."""
    jobs = await around.pool.fetchval(
        "SELECT count(*) FROM mqjobs.job WHERE root_id IS NOT NULL AND NOT is_own_child"
    )
    return jobs, len(await around.outbox())


async def test_children_come_in_the_order_in_which_they_were_wanted(
    children: DelayedChildren, own: RunningJob
) -> None:
    made = await children.create([(name, Piece()) for name in "cab"])

    assert [child.name for child in made] == ["c", "a", "b"]
    assert {(child.root_id, child.status) for child in made} == {(own.root_id, JobStatus.NEW)}


async def test_a_start_may_be_a_message_with_its_options(
    around: Surroundings, children: DelayedChildren
) -> None:
    [child] = await children.create(
        [("one", Outgoing(Piece(number=7), priority=Priority.HIGH, headers={"a": "b"}))]
    )

    [message] = await around.outbox()
    assert (message["job_id"], message["priority"], message["headers"]) == (
        child.id,
        3,
        {"a": "b"},
    )


async def test_a_start_may_be_made_from_the_child(
    around: Surroundings, children: DelayedChildren
) -> None:
    seen: list[Job] = []

    def start(job: Job) -> Topic:
        seen.append(job)
        return Piece(number=job.id)

    [child] = await children.create([("one", start)])

    [message] = await around.outbox()
    assert message["body"] == f'{{"number":{child.id}}}'.encode()
    assert [(job.id, job.name, job.status) for job in seen] == [(child.id, "one", JobStatus.NEW)]


async def test_creating_a_child_twice_gives_the_same_child_and_one_message(
    around: Surroundings, children: DelayedChildren
) -> None:
    [first] = await children.create([("one", Piece())])
    [second] = await children.create([("one", Piece())])
    third, fourth = await children.create([("two", Piece()), ("two", Piece())])

    assert first == second
    assert third == fourth
    assert await count(around) == (2, 2)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("x" * 256, "has 256 characters"),
        ("a\x00", "NUL"),
        ("work", "its root's own child has that name"),
    ],
)
async def test_a_name_that_a_child_cannot_have_is_refused_and_nothing_is_created(
    around: Surroundings, children: DelayedChildren, name: str, says: str
) -> None:
    with pytest.raises(InvalidJobName, match=says):
        await children.create([("fine", Piece()), (name, Piece())])

    assert await count(around) == (0, 0)


async def test_a_message_that_is_invalid_is_refused_and_nothing_is_created(
    around: Surroundings, children: DelayedChildren
) -> None:
    with pytest.raises(InvalidMessage, match="delay -1"):
        await children.create([("fine", Piece()), ("late", Outgoing(Piece(), delay=-1))])

    assert await count(around) == (0, 0)


async def test_a_run_that_lost_its_lease_creates_nothing(
    around: Surroundings, children: DelayedChildren
) -> None:
    await around.pool.execute("UPDATE mqjobs.job SET lease = lease + 1 WHERE is_own_child")

    with pytest.raises(LeaseLost):
        await children.create([("one", Piece())])

    assert await count(around) == (0, 0)


async def test_many_are_created_in_batches_and_counted_once(
    around: Surroundings, children: DelayedChildren, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delayed_children, "BATCH", 3)
    await children.create([("4", Piece())])

    assert await children.create_many((str(n % 8), Piece()) for n in range(10)) == 7

    assert await count(around) == (8, 8)


async def test_many_may_come_from_an_asynchronous_source(
    around: Surroundings, children: DelayedChildren
) -> None:
    async def source() -> AsyncIterator[tuple[str, Start]]:
        for n in range(3):
            yield str(n), Piece(number=n)

    assert await children.create_many(source()) == 3
    assert await children.create_many([]) == 0


async def test_a_source_is_read_no_further_than_a_batch_ahead(
    around: Surroundings, children: DelayedChildren, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delayed_children, "BATCH", 2)
    read: list[int] = []

    def source() -> Iterator[tuple[str, Start]]:
        for n in range(9):
            read.append(n)
            yield ("" if n == 2 else str(n)), Piece()

    with pytest.raises(InvalidJobName):
        await children.create_many(source())

    assert read == [0, 1, 2, 3]
    assert await count(around) == (2, 2)
