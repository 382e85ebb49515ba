"""Jobs for tests of what reads and mends them: made by the store's own calls, on one connection."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from mqjobs.model.job import Job
from mqjobs.model.message import Binding, DeadReason, Envelope
from mqjobs.model.status import JobStatus
from mqjobs.store.children import Dependent, NewChild, OwnRun, add_dependents, reserve_ids
from mqjobs.store.children import create_children as create_children_of
from mqjobs.store.claims import Answer, Claim, Granted, claim_children
from mqjobs.store.consumers import ConsumerInfo, register
from mqjobs.store.database import Connection, prepare
from mqjobs.store.finishes import FinishedRun, finish_children
from mqjobs.store.interrupts import cancel_if_new
from mqjobs.store.messages import DeadLetter, bind, insert_dead_letters
from mqjobs.store.roots import NewRoot, RootFound, create_root
from tests.support.envelopes import an_envelope

TOPIC = "tests.topic"
QUEUE = "tests"


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Connection]:
    """A connection as the store has them; TOPIC is bound to QUEUE."""
    connection = await asyncpg.connect(database_url)
    try:
        await prepare(connection)
        await bind(connection, [Binding(QUEUE, TOPIC)])
        yield connection
    finally:
        await connection.close()


class StoredJobs:
    """Makes jobs, runs them and ends them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def consumer(self, *, alive: bool = True) -> UUID:
        """A consumer that lives, or one that is dead."""
        info = ConsumerInfo(uuid4(), "here", 1, "0.1", [QUEUE])
        await register(self.connection, info, timedelta(minutes=5 if alive else -5))
        return info.id

    async def root(self, name: str = "work", envelope: Envelope | None = None) -> RootFound:
        """A new root, born with this message."""
        envelope = envelope or an_envelope(TOPIC)
        new = NewRoot(str(envelope.id), name, envelope, time_before_stale=None)
        async with self.connection.transaction():
            root = await create_root(self.connection, new)
        assert isinstance(root, RootFound)
        return root

    async def stale_takeover(self, name: str) -> int:
        """A new root of this name, whose quiet predecessor is stale now."""
        envelope = an_envelope(TOPIC)
        new = NewRoot(str(envelope.id), name, envelope, time_before_stale=timedelta(minutes=1))
        async with self.connection.transaction():
            root = await create_root(self.connection, new)
        assert isinstance(root, RootFound)
        return root.id

    async def run(self, job_id: int, consumer_id: UUID | None = None) -> Job:
        """The child runs, in this consumer; if that is dead, it died then."""
        claim = Claim(job_id, uuid4(), consumer_id or await self.consumer())
        answer = await self.claim(claim)
        assert isinstance(answer, Granted)
        return answer.job

    async def claim(self, claim: Claim) -> Answer:
        """What a claim is answered that was made while its consumer was alive."""
        async with self.connection.transaction(), self._revived(claim.consumer_id):
            [answer] = await claim_children(self.connection, [claim], crashes_allowed=3)
        return answer

    @asynccontextmanager
    async def _revived(self, consumer_id: UUID) -> AsyncIterator[None]:
        until = await self.connection.fetchval(
            "SELECT alive_until FROM mqjobs.consumer WHERE id = $1", consumer_id
        )
        live = "UPDATE mqjobs.consumer SET alive_until = $2 WHERE id = $1"
        await self.connection.execute(live, consumer_id, datetime.max.replace(tzinfo=UTC))
        yield
        await self.connection.execute(live, consumer_id, until)

    async def end(self, job: Job, status: JobStatus, error: str | None = None) -> None:
        """The run of the child comes to this."""
        async with self.connection.transaction():
            [ended] = await finish_children(
                self.connection, [FinishedRun(job.id, job.lease, status, error)]
            )
        assert ended is status

    async def children(self, own: Job, *names: str, **fields: Any) -> list[int]:
        """Delayed children of the root whose own child runs."""
        ids = await reserve_ids(self.connection, len(names))
        new = [
            NewChild(name, an_envelope(TOPIC, job_id=job_id, **fields))
            for job_id, name in zip(ids, names, strict=True)
        ]
        async with self.connection.transaction():
            await create_children_of(self.connection, _own_run(own), new)
        return ids

    async def dependents(self, own: Job, *dependents: Dependent) -> None:
        """Messages that wait for the end of the root whose own child runs."""
        async with self.connection.transaction():
            await add_dependents(self.connection, _own_run(own), dependents)

    async def ended_root(self, name: str, status: JobStatus, children: Sequence[str] = ()) -> int:
        """A root that has come to this end, with delayed children that have ended well."""
        if status is JobStatus.CANCELLED:
            return await self.cancelled_root(name)
        root = await self.root(name)
        own = await self.run(root.own_child_id)
        for child in await self.children(own, *children) if children else ():
            await self.end(await self.run(child), JobStatus.SUCCESS)
        await self.end(own, status)
        return root.id

    async def cancelled_root(self, name: str, envelope: Envelope | None = None) -> int:
        """A root that nobody started, because its message could not be read."""
        envelope = envelope or an_envelope(TOPIC)
        root = await self.root(name, envelope)
        async with self.connection.transaction():
            await cancel_if_new(self.connection, str(envelope.id))
        return root.id

    async def quiet(self, root_id: int, for_so_long: timedelta = timedelta(hours=1)) -> None:
        """Nothing has happened in the root for so long."""
        await self.connection.execute(
            "UPDATE mqjobs.job SET last_active_at = clock_timestamp() - $2::interval WHERE id = $1",
            root_id,
            for_so_long,
        )

    async def status(self, job_id: int) -> JobStatus | None:
        """Where the job stands; None where it is gone."""
        found = await self.connection.fetchval(
            "SELECT status FROM mqjobs.job WHERE id = $1", job_id
        )
        return None if found is None else JobStatus(found)

    async def bury(
        self, envelope: Envelope, reason: DeadReason = "failed", detail: str = "why"
    ) -> int:
        """The message is a dead letter, in QUEUE unless it names another; its id."""
        buried = replace(envelope, queue=envelope.queue or QUEUE)
        await insert_dead_letters(self.connection, [DeadLetter(buried, reason, detail)])
        letter_id: int = await self.connection.fetchval(
            "SELECT max(id) FROM mqjobs.message WHERE dead_at IS NOT NULL"
        )
        return letter_id

    async def empty_outbox(self) -> None:
        """What was sent so far has been carried away."""
        await self.connection.execute("DELETE FROM mqjobs.message WHERE dead_at IS NULL")


def _own_run(own: Job) -> OwnRun:
    return OwnRun(own.root_id or 0, own.id, own.lease)
