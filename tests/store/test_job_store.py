"""The store as one object: what is asked for one by one is written many at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from mqjobs.model.errors import DatabaseUnavailable, LeaseLost
from mqjobs.model.interruption import Interruption
from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count
from mqjobs.store.children import Dependent, NewChild, OwnRun
from mqjobs.store.claims import Claim, Granted
from mqjobs.store.consumers import ConsumerInfo, register
from mqjobs.store.database import open_pool
from mqjobs.store.finishes import FinishedRun
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.messages import DeadLetter
from mqjobs.store.roots import NameTaken, NewRoot, RootFound
from mqjobs.transport.background import in_background
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import TOPIC
from tests.support.stored_services import Wakes
from tests.support.surroundings import through
from tests.support.wire import Wire

PATIENCE = timedelta(seconds=10)


@asynccontextmanager
async def running(
    url: str, wakes: Wakes, patience: timedelta = PATIENCE
) -> AsyncIterator[JobStore]:
    async with open_pool(url, size=4) as pool:
        store = JobStore(pool, crashes_allowed=3, wake=wakes, patience=patience)
        async with in_background(store.run()):
            yield store


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
async def store(database_url: str, wakes: Wakes) -> AsyncIterator[JobStore]:
    async with running(database_url, wakes) as opened:
        yield opened


async def new_root(store: JobStore, name: str = "work") -> RootFound:
    root = await store.create_root(NewRoot(str(uuid4()), name, an_envelope(TOPIC), None))
    assert isinstance(root, RootFound)
    return root


async def claimed(store: JobStore, name: str = "work") -> Job:
    info = ConsumerInfo(uuid4(), "here", 1, "0.1", ["default"])
    async with store.pool.acquire() as connection:
        await register(connection, info, timedelta(minutes=5))
    answer = await store.claim(Claim((await new_root(store, name)).own_child_id, uuid4(), info.id))
    assert isinstance(answer, Granted)
    return answer.job


async def status(store: JobStore, job_id: int) -> str:
    found: str = await store.pool.fetchval("SELECT status FROM mqjobs.job WHERE id = $1", job_id)
    return found


async def rows(store: JobStore, table: str) -> int:
    count: int = await store.pool.fetchval(f"SELECT count(*) FROM mqjobs.{table}")
    return count


async def test_roots_are_made_and_found(store: JobStore) -> None:
    new = NewRoot("owner", "work", None, None)
    made = await store.create_root(new)

    assert isinstance(made, RootFound)
    assert await store.find_root("owner", "work") == RootFound(
        made.id, made.own_child_id, JobStatus.NEW, created=False
    )
    assert await store.create_root(NewRoot("other", "work", None, None)) == NameTaken(made.id)


async def test_runs_that_end_together_each_have_their_own_answer(store: JobStore) -> None:
    jobs = [await claimed(store, name) for name in ("a", "b", "c")]

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(store.finish(FinishedRun(job.id, lease, JobStatus.SUCCESS)))
            for job, lease in zip(jobs, (1, 99, 1), strict=True)
        ]

    assert [task.result() for task in tasks] == [JobStatus.SUCCESS, None, JobStatus.SUCCESS]


async def test_what_fills_the_outbox_wakes_the_relay(store: JobStore, wakes: Wakes) -> None:
    own = await claimed(store)
    run = OwnRun(own.root_id or 0, own.id, own.lease)
    [child_id] = await store.reserve_ids(1)
    before = wakes.count

    await store.create_children(run, [NewChild("one", an_envelope(TOPIC, job_id=child_id))])
    assert wakes.count == before + 1
    await store.send([an_envelope(TOPIC)])
    assert wakes.count == before + 2
    again = an_envelope(TOPIC, job_id=own.id)
    await store.finish(FinishedRun(own.id, own.lease, JobStatus.FAILED_REDELIVERED, again=again))
    assert wakes.count == before + 3


async def test_an_end_that_sends_nothing_wakes_nobody(store: JobStore, wakes: Wakes) -> None:
    own = await claimed(store)
    before = wakes.count

    await store.finish(FinishedRun(own.id, own.lease, JobStatus.SUCCESS))

    assert wakes.count == before


async def test_an_end_that_sends_dependent_messages_wakes_the_relay(
    store: JobStore, wakes: Wakes
) -> None:
    own = await claimed(store)
    run = OwnRun(own.root_id or 0, own.id, own.lease)
    await store.add_dependents(run, [Dependent(an_envelope(TOPIC), None)])
    before = wakes.count

    await store.finish(FinishedRun(own.id, own.lease, JobStatus.SUCCESS))

    assert wakes.count == before + 1


async def test_children_dependents_and_reports_are_the_running_jobs(store: JobStore) -> None:
    own = await claimed(store)
    run = OwnRun(own.root_id or 0, own.id, own.lease)
    [child_id] = await store.reserve_ids(1)

    assert (
        await store.create_children(run, [NewChild("one", an_envelope(TOPIC, job_id=child_id))])
        == 1
    )
    await store.add_dependents(run, [Dependent(an_envelope(TOPIC), None)])
    await store.report(own.id, own.lease, progress=0.5, data={"note": "half"}, max_bytes=10_000)

    found = await store.children_by_name(run.root_id, ["one"])
    assert found["one"].id == child_id
    assert await rows(store, "dependent_message") == 1
    with pytest.raises(LeaseLost):
        await store.report(own.id, own.lease + 1, progress=0.5, data=None, max_bytes=10_000)


async def test_jobs_are_interrupted_and_called_off(store: JobStore) -> None:
    root = await store.create_root(NewRoot("owner", "work", None, None))
    assert isinstance(root, RootFound)

    assert await store.cancel_if_new("owner", "other") == 0
    assert await store.cancel_if_new("owner") == 1
    assert await store.interrupt(root.id) is Interruption.ENDED_BEFORE


async def test_a_dead_letter_takes_its_new_root_with_it_in_one_transaction(
    store: JobStore,
) -> None:
    envelope = an_envelope(TOPIC)
    root = await store.create_root(NewRoot(str(envelope.id), "work", envelope, None))
    assert isinstance(root, RootFound)

    await store.keep(DeadLetter(envelope, "invalid", "why"), consumer_id=uuid4())

    assert await status(store, root.id) == "cancelled"
    assert await rows(store, "message") == 1


async def test_one_message_that_cannot_be_written_fails_alone(store: JobStore) -> None:
    good, bad = an_envelope(TOPIC), an_envelope(TOPIC, attempt=2**40)

    async with asyncio.TaskGroup() as group:
        written = group.create_task(store.send([good]))
        refused = group.create_task(caught(store, bad.attempt))

    assert written.exception() is None
    assert refused.result()
    assert await rows(store, "message") == 1


async def caught(store: JobStore, attempt: int) -> bool:
    try:
        await store.send([an_envelope(TOPIC, attempt=attempt)])
    except asyncpg.DataError:
        return True
    return False


async def test_a_block_that_raises_writes_nothing(store: JobStore) -> None:
    with pytest.raises(ZeroDivisionError):
        await write_and_fail(store)

    assert await rows(store, "consumer") == 0


async def write_and_fail(store: JobStore) -> None:
    async with transaction(store.pool) as connection:
        await connection.execute(
            "INSERT INTO mqjobs.consumer (id, host, pid, version, queues, alive_until)"
            " VALUES ($1, '', 1, '', '{}', now())",
            uuid4(),
        )
        raise ZeroDivisionError


async def test_a_store_that_is_closed_has_written_what_was_asked_and_takes_no_more(
    store: JobStore,
) -> None:
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(store.send([an_envelope(TOPIC)]))
        await asyncio.wait([sending], timeout=0)
        await store.close(PATIENCE)

    assert sending.exception() is None
    with pytest.raises(DatabaseUnavailable, match="outbox is closed"):
        await store.send([an_envelope(TOPIC)])


async def test_closing_does_not_wait_for_ever(database_url: str, wakes: Wakes) -> None:
    async with (
        Wire.to(database_url) as wire,
        running(through(wire, database_url), wakes) as store,
        asyncio.TaskGroup() as group,
    ):
        wire.tear()
        sending = group.create_task(sent(store))
        async with asyncio.timeout(10):
            await store.close(timedelta(seconds=0.1))
        sending.cancel()


async def test_calls_outlive_an_outage_that_is_shorter_than_their_patience(
    database_url: str, wakes: Wakes
) -> None:
    async with Wire.to(database_url) as wire, running(through(wire, database_url), wakes) as store:
        wire.tear()
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(store.find_root("owner", "work"))
            sending = group.create_task(sent(store))
            await asyncio.wait([asking, sending], timeout=0.3)
            assert not asking.done()
            wire.mend()

    assert (asking.result(), sending.result()) == (None, True)


async def test_an_outage_that_is_longer_than_the_patience_is_told(
    database_url: str, wakes: Wakes
) -> None:
    async with (
        Wire.to(database_url) as wire,
        running(through(wire, database_url), wakes, timedelta(0)) as store,
    ):
        wire.tear()

        with pytest.raises(DatabaseUnavailable, match="PostgreSQL is away, a look-up was not"):
            await store.find_root("owner", "work")
        assert not await sent(store)


async def test_who_holds_a_job_in_a_transaction_of_theirs_holds_up_that_job_alone(
    store: JobStore, database_url: str
) -> None:
    held, free = await claimed(store, "held"), await claimed(store, "free")
    author = await asyncpg.connect(database_url)
    try:
        transaction_of_theirs = author.transaction()
        await transaction_of_theirs.start()
        await author.execute("SELECT FROM mqjobs.job WHERE id = $1 FOR NO KEY UPDATE", held.root_id)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(
                store.finish(FinishedRun(held.id, held.lease, JobStatus.SUCCESS))
            )
            async with asyncio.timeout(PATIENCE.total_seconds() / 2):
                done = FinishedRun(free.id, free.lease, JobStatus.SUCCESS)
                assert await store.finish(done) is JobStatus.SUCCESS
                another = await claimed(store, "another")
                done = FinishedRun(another.id, another.lease, JobStatus.SUCCESS)
                assert await store.finish(done) is JobStatus.SUCCESS
            assert not waiting.done()
            await transaction_of_theirs.commit()

        assert waiting.result() is JobStatus.SUCCESS
    finally:
        await author.close()


async def sent(store: JobStore) -> bool:
    """Whether a message could be sent."""
    try:
        await store.send([an_envelope(TOPIC)])
    except DatabaseUnavailable:
        return False
    return True


async def test_a_job_that_is_taken_over_from_the_dead_is_counted_and_no_other_claim_is(
    store: JobStore,
) -> None:
    job, info = await claimed(store), ConsumerInfo(uuid4(), "there", 1, "0.1", ["default"])
    async with store.pool.acquire() as connection:
        await register(connection, info, timedelta(minutes=5))
    assert Count.TAKEOVERS not in {count for count, _ in store.tally.counts()}
    await store.pool.execute("DELETE FROM mqjobs.consumer WHERE id = $1", job.consumer_id)

    taken = await store.claim(Claim(job.id, uuid4(), info.id))
    again = await store.claim(Claim(job.id, uuid4(), info.id))

    assert isinstance(taken, Granted)
    assert taken.is_takeover
    assert not isinstance(again, Granted)
    assert store.tally.counts()[Count.TAKEOVERS, ""] == 1
    await store.finish(
        FinishedRun(job.id, taken.job.lease, JobStatus.FAILED_REDELIVERED, again=an_envelope(TOPIC))
    )
    assert isinstance(await store.claim(Claim(job.id, uuid4(), info.id)), Granted)
    assert store.tally.counts()[Count.TAKEOVERS, ""] == 1
