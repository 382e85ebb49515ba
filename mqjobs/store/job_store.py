"""The jobs and the outbox as one object: what callers ask for one by one, written many at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from mqjobs.model.interruption import Interruption
from mqjobs.model.job import Job
from mqjobs.model.message import Envelope
from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count, Tally
from mqjobs.store import children, finishes, holds, interrupts, queues, roots
from mqjobs.store.certainty import once_for_all
from mqjobs.store.children import Dependent, NewChild, OwnRun
from mqjobs.store.claims import Answer, Claim, Granted, claim_children
from mqjobs.store.database import Connection, Pool
from mqjobs.store.finishes import FinishedRun, write_finishes
from mqjobs.store.group_commit import GroupCommit
from mqjobs.store.locks import bounded_transaction, locked_children
from mqjobs.store.messages import DeadLetter, insert_dead_letters, insert_messages
from mqjobs.store.outages import patiently
from mqjobs.store.roots import NameTaken, NewRoot, RootFound

AnswerT = TypeVar("AnswerT")


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of the pool in a transaction that waits for no lock for long, committed at the end of the block."""
    async with pool.acquire() as connection, bounded_transaction(connection):
        yield connection


class JobStore:
    """Claims, finishes and outbox writes go through group commits; the rest is a transaction each.

    While PostgreSQL is away, calls wait for `patience` (None: until it is back), then raise DatabaseUnavailable.
    `run` must be running for calls to be answered. `wake` is called when messages were written to the outbox.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        crashes_allowed: int,
        wake: Callable[[], None],
        patience: timedelta | None = None,
    ) -> None:
        self.pool = pool
        self.crashes_allowed = crashes_allowed
        self.patience = patience
        self.wake = wake
        self.tally = Tally()
        self._over = asyncio.Event()

        async def claim(claims: Sequence[Claim]) -> Sequence[Answer]:
            async with transaction(pool) as connection:
                answers = await claim_children(connection, claims, crashes_allowed=crashes_allowed)
            if taken := sum(isinstance(each, Granted) and each.is_takeover for each in answers):
                self.tally.add(Count.TAKEOVERS, taken)
            return answers

        async def finish(runs: Sequence[FinishedRun]) -> Sequence[JobStatus | None]:
            async with transaction(pool) as connection:
                written = await write_finishes(connection, runs)
            if written.sent:
                wake()
            return written.statuses

        async def send(batches: Sequence[Sequence[Envelope]]) -> Sequence[None]:
            async with transaction(pool) as connection:
                await insert_messages(connection, [each for batch in batches for each in batch])
            wake()
            return [None] * len(batches)

        self.claim = GroupCommit[Claim, Answer](
            "claims",
            claim,
            locked=lambda claims: self._locked([each.job_id for each in claims]),
            patience=patience,
        )
        self.finish = GroupCommit[FinishedRun, JobStatus | None](
            "finishes",
            finish,
            locked=lambda runs: self._locked([each.job_id for each in runs]),
            patience=patience,
        )
        self.send = GroupCommit[Sequence[Envelope], None]("outbox", send, patience=patience)
        for writes in (self.claim, self.finish, self.send):
            writes.tally = self.tally

    async def _locked(self, ids: Sequence[int]) -> Sequence[bool]:
        async with transaction(self.pool) as connection:
            found = await locked_children(connection, ids)
        return [each in found for each in ids]

    async def run(self) -> None:
        """Write what is asked for until closed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.claim.run(), name="mqjobs claims")
            group.create_task(self.finish.run(), name="mqjobs finishes")
            group.create_task(self.send.run(), name="mqjobs outbox")
        self._over.set()

    async def close(self, at_most: timedelta) -> None:
        """Accept no more claims, finishes and sends; wait until those before are written, but not for ever."""
        for writes in (self.claim, self.finish, self.send):
            writes.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most.total_seconds()):
                await self._over.wait()

    @property
    def longest_wait(self) -> timedelta:
        """How long the claim, finish or outbox write that has waited the longest has waited."""
        return max(writes.longest_wait for writes in (self.claim, self.finish, self.send))

    async def create_root(self, new: NewRoot) -> RootFound | NameTaken:
        """See `roots.create_root`."""
        return await self._write("a root job", lambda each: roots.create_root(each, new))

    async def find_root(self, owner_id: str, name: str) -> RootFound | None:
        """See `roots.find_root`."""
        return await self._read("a look-up", lambda each: roots.find_root(each, owner_id, name))

    async def create_children(self, run: OwnRun, new: Sequence[NewChild]) -> int:
        """See `children.create_children`."""
        created = await self._write(
            "delayed children", lambda each: children.create_children(each, run, new)
        )
        self.wake()
        return created

    async def reserve_ids(self, count: int) -> list[int]:
        """See `children.reserve_ids`."""
        return await self._read("ids", lambda each: children.reserve_ids(each, count))

    async def children_by_name(self, root_id: int, names: Sequence[str]) -> Mapping[str, Job]:
        """See `children.children_by_name`."""
        return await self._read(
            "a look-up", lambda each: children.children_by_name(each, root_id, names)
        )

    async def add_dependents(self, run: OwnRun, dependents: Sequence[Dependent]) -> None:
        """See `children.add_dependents`."""
        await self._write(
            "dependent messages", lambda each: children.add_dependents(each, run, dependents)
        )

    async def report(
        self,
        job_id: int,
        lease: int,
        *,
        progress: float | None,
        data: Mapping[str, Any] | None,
        max_bytes: int,
    ) -> None:
        """See `children.report`."""
        await self._write(
            "a report",
            lambda each: children.report(
                each, job_id, lease, progress=progress, data=data, max_bytes=max_bytes
            ),
        )

    async def cancel_if_new(self, owner_id: str, name: str | None = None) -> int:
        """See `interrupts.cancel_if_new`."""
        return await self._write_once(
            "a cancellation", lambda each: interrupts.cancel_if_new(each, owner_id, name)
        )

    async def cancel_unread(self, owner_id: str) -> int:
        """See `interrupts.cancel_unread`."""
        return await self._write_once(
            "a cancellation", lambda each: interrupts.cancel_unread(each, owner_id)
        )

    async def interrupt(self, job_id: int) -> Interruption:
        """See `interrupts.interrupt`."""
        return await self._write_once(
            "an interrupt", lambda each: interrupts.interrupt(each, job_id)
        )

    async def bound_topics(self, topics: Collection[str]) -> set[str]:
        """See `queues.bound_topics`."""
        return await self._read("a look-up", lambda each: queues.bound_topics(each, topics))

    async def fail_unrun_child(self, job_id: int, error: str, *, consumer_id: UUID) -> bool:
        """See `finishes.fail_unrun_child`."""
        call_id = uuid4()
        failed = await self._write(
            "an end",
            lambda each: finishes.fail_unrun_child(
                each, job_id, error, call_id=call_id, consumer_id=consumer_id
            ),
        )
        self.wake()
        return failed

    async def keep(
        self, letter: DeadLetter, *, consumer_id: UUID, held_as: int | None = None
    ) -> None:
        """The message is a dead letter, once, and no longer held; roots that it was to start are cancelled.

        The delayed child that it was to run has failed.
        """
        envelope, call_id = letter.envelope, uuid4()
        error = f"its message is a dead letter ({letter.reason}): {letter.detail}"

        async def write(connection: Connection) -> None:
            if envelope.job_id is not None:
                await finishes.fail_unrun_child(
                    connection, envelope.job_id, error, call_id=call_id, consumer_id=consumer_id
                )
            await interrupts.cancel_unread(connection, str(envelope.id))
            await insert_dead_letters(connection, [letter])
            if held_as is not None:
                await holds.drop(connection, held_as, consumer_id=consumer_id)

        await self._write_once("a dead letter", write)
        self.wake()

    async def hold(self, envelope: Envelope, *, consumer_id: UUID) -> int:
        """See `holds.hold`; the id of the row that holds it."""
        row_id = await self._write("a held message", holds.reserve_id)
        await self._write(
            "a held message",
            lambda each: holds.hold(each, row_id, envelope, consumer_id=consumer_id),
        )
        return row_id

    async def let_come(
        self,
        held_as: int,
        *,
        consumer_id: UUID,
        delay: timedelta = timedelta(0),
        counts_as_attempt: bool = False,
        has_ended: bool = False,
    ) -> None:
        """See `holds.let_come`."""
        await self._write(
            "a held message",
            lambda each: holds.let_come(
                each,
                held_as,
                consumer_id=consumer_id,
                delay=delay,
                counts_as_attempt=counts_as_attempt,
                has_ended=has_ended,
            ),
        )
        self.wake()

    async def let_all_come(self, consumer_id: UUID) -> None:
        """See `holds.let_all_come`."""
        await self._write("held messages", lambda each: holds.let_all_come(each, consumer_id))

    async def drop_held(self, held_as: int, *, consumer_id: UUID) -> None:
        """See `holds.drop`."""
        await self._write(
            "a held message", lambda each: holds.drop(each, held_as, consumer_id=consumer_id)
        )

    async def _read(self, what: str, act: Callable[[Connection], Awaitable[AnswerT]]) -> AnswerT:
        """For one statement that waits for no lock: a round trip instead of three."""

        async def once() -> AnswerT:
            async with self.pool.acquire() as connection:
                return await act(connection)

        return await patiently(what, once, patience=self.patience)

    async def _write(self, what: str, act: Callable[[Connection], Awaitable[AnswerT]]) -> AnswerT:
        async def once() -> AnswerT:
            async with transaction(self.pool) as connection:
                return await act(connection)

        return await patiently(what, once, patience=self.patience)

    async def _write_once(
        self, what: str, act: Callable[[Connection], Awaitable[AnswerT]]
    ) -> AnswerT:
        """For what would answer otherwise, or do more, if it were done again."""
        return await once_for_all(self.pool, what, act, patience=self.patience)
