"""What processors run in, without a consumer: a store that writes, a consumer that lives, a producer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import structlog

from mqjobs.model.job import Job
from mqjobs.model.message import Binding, Envelope, Message, Outgoing
from mqjobs.model.retry import Retry
from mqjobs.model.topic import Topic, definition_of
from mqjobs.processing.attempt import Attempt, Runs
from mqjobs.processing.context import Context
from mqjobs.processing.dependent_jobs import DependentJobs
from mqjobs.processing.envelopes import EnvelopeMaker, open_envelope
from mqjobs.processing.job_run import JobRun
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.producer import Producer
from mqjobs.processing.registry import Registry
from mqjobs.processing.running_job import RunningJob
from mqjobs.processing.services import Services
from mqjobs.processing.stale_times import StaleTimes
from mqjobs.processing.topic_names import TopicNames
from mqjobs.store.claims import Claim, Granted
from mqjobs.store.clock import DatabaseClock
from mqjobs.store.consumers import ConsumerInfo, register
from mqjobs.store.database import Connection, Pool, open_pool
from mqjobs.store.job_rows import job_of
from mqjobs.store.job_store import JobStore, transaction
from mqjobs.store.messages import bind, database_now
from mqjobs.store.roots import NewRoot, RootFound
from mqjobs.transport.background import in_background
from mqjobs.transport.postgres import open_postgres
from mqjobs.transport.seam import Transport
from tests.support import topics
from tests.support.envelopes import an_envelope
from tests.support.wire import Wire

QUEUE = "default"
BOUND = (
    topics.Work,
    topics.SteadyWork,
    topics.Piece,
    topics.SteadyPiece,
    topics.HastyPiece,
    topics.Note,
    topics.SteadyNote,
)
REDELIVERY_DELAY = timedelta(seconds=7)


@dataclass
class Surroundings:
    """One consumer's parts, for tests that act on deliveries by hand."""

    services: Services
    transport: Transport
    producer: Producer
    names: TopicNames
    wake: asyncio.Event

    @property
    def pool(self) -> Pool:
        """The pool of the store."""
        return self.services.store.pool

    def registry(self) -> Registry:
        """An empty registry that knows the tests' topics."""
        return Registry(self.names)

    def attempt(self, envelope: Envelope | None = None, retry: Retry | None = None) -> Attempt:
        """An attempt at this message, under this policy."""
        return Attempt(envelope or an_envelope("tests.work"), QUEUE, retry or Retry())

    def runner(self, attempt: Attempt | None = None) -> JobRunner:
        """The runner of an attempt."""
        return JobRunner(self.services, attempt or self.attempt(), DependentJobs(self.services))

    def context(self, attempt: Attempt) -> Context:
        """What a processor is handed for this attempt."""
        dependent_jobs = DependentJobs(self.services)
        return Context(
            jobs=JobRunner(self.services, attempt, dependent_jobs),
            producer=self.producer,
            dependent_jobs=dependent_jobs,
            log=structlog.get_logger("tests"),
            database=self.pool,
            attempt=attempt,
        )

    def message(self, body: Topic, **fields: Any) -> Message[Topic]:
        """A message with this body as it comes in."""
        envelope = self.services.envelopes.seal(Outgoing(body))
        given = {"id": envelope.id, "body": envelope.body, **fields}
        return open_envelope(an_envelope(envelope.topic, **given), type(body))

    async def root(self, name: str = "work", owner_id: str | None = None) -> RootFound:
        """A new root job."""
        envelope = an_envelope(definition_of(topics.Work).name)
        new = NewRoot(owner_id or str(envelope.id), name, envelope, None)
        root = await self.services.store.create_root(new)
        assert isinstance(root, RootFound)
        return root

    async def claimed(self, name: str = "work") -> Job:
        """The own child of a new root, claimed by this consumer."""
        root = await self.root(name)
        return await self.claim(root.own_child_id)

    async def claim(self, job_id: int) -> Job:
        """The child, claimed by this consumer."""
        claim = Claim(job_id, uuid4(), self.services.runs.consumer_id)
        answer = await self.services.store.claim(claim)
        assert isinstance(answer, Granted), answer
        return answer.job

    @asynccontextmanager
    async def splitting(self, name: str = "work") -> AsyncIterator[JobRunner]:
        """Within the block a unique job runs; it ends with SUCCESS. This is the runner that can split it."""
        runners: list[JobRunner] = []
        begun, over = asyncio.Event(), asyncio.Event()

        async def callback(runner: JobRunner, job: RunningJob) -> bool:
            runners.append(runner)
            begun.set()
            await over.wait()
            return True

        async def run() -> None:
            await self.runner().run_unique(str(uuid4()), name, callback)

        async with asyncio.TaskGroup() as group:
            group.create_task(run())
            await begun.wait()
            try:
                yield runners[0]
            finally:
                over.set()

    def run(self, job: Job, attempt: Attempt) -> JobRun:
        """The run of a claimed job."""
        return JobRun(job, attempt, self.services)

    async def job(self, job_id: int | None) -> Job:
        """The job as it stands."""
        row = await self.pool.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", job_id)
        assert row is not None, job_id
        return job_of(row)

    async def outbox(self) -> list[Any]:
        """The messages in the table that are no dead letters, the next first."""
        return await self.pool.fetch(
            "SELECT *, available_at - clock_timestamp() AS wait FROM mqjobs.message"
            " WHERE dead_at IS NULL ORDER BY available_at, id"
        )

    async def dead_letters(self) -> list[Any]:
        """The dead letters, the oldest first."""
        return await self.pool.fetch(
            "SELECT * FROM mqjobs.message WHERE dead_at IS NOT NULL ORDER BY id"
        )

    @asynccontextmanager
    async def held_up(self, job: Job) -> AsyncIterator[None]:
        """Within the block nothing can be written about the root of this job, nor about its children."""
        async with transaction(self.pool) as connection:
            await connection.execute(
                "SELECT FROM mqjobs.job WHERE id = $1 FOR UPDATE", job.root_id or job.id
            )
            yield

    async def somebody_waits(self) -> bool:
        """Whether a statement waits for a lock in this database."""
        found: bool = await self.pool.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
        return found


@asynccontextmanager
async def surroundings(
    database_url: str,
    *,
    transport: Callable[[Pool], Transport] | None = None,
    patience: timedelta = timedelta(seconds=10),
    stale_times: StaleTimes | None = None,
) -> AsyncIterator[Surroundings]:
    """Parts on a database of the test's own; over its message table, or a transport that is given."""
    wake = asyncio.Event()
    async with open_pool(database_url, size=8) as pool, open_postgres(pool) as over_postgres:
        carrier = over_postgres if transport is None else transport(pool)
        store = JobStore(pool, crashes_allowed=3, wake=wake.set, patience=patience)
        services = Services(
            store=store,
            runs=Runs(uuid4()),
            envelopes=EnvelopeMaker(DatabaseClock(await _begin(pool)), max_bytes=10_000),
            stale_times=stale_times or StaleTimes(),
            redelivery_delay=REDELIVERY_DELAY,
        )
        names = TopicNames()
        for topic in (*BOUND, topics.Unbound):
            names.add(topic, named_by="tests")
        async with pool.acquire() as connection:
            await _make_known(connection, services)
        async with in_background(store.run()):
            yield Surroundings(services, carrier, Producer(services, carrier, names), names, wake)


def through(wire: Wire, database_url: str) -> str:
    """The URL of the same database at the end of a wire."""
    parts = urlsplit(database_url)
    user = parts.netloc.rpartition("@")[0] or "postgres"
    return f"postgresql://{user}@127.0.0.1:{wire.port}{parts.path}"


async def _begin(pool: Pool) -> Any:
    async with pool.acquire() as connection:
        await bind(connection, [Binding(QUEUE, definition_of(topic).name) for topic in BOUND])
        return await database_now(connection)


async def _make_known(connection: Connection, services: Services) -> None:
    info = ConsumerInfo(services.runs.consumer_id, "here", 1, "0.1", [QUEUE])
    await register(connection, info, timedelta(minutes=5))
