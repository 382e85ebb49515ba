"""Delayed children of the unique job that runs: each created once, together with its message."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace

from mqjobs.model.errors import InvalidJobName
from mqjobs.model.job import Job, checked_name
from mqjobs.model.message import Outgoing
from mqjobs.model.status import JobStatus
from mqjobs.model.topic import Topic
from mqjobs.processing.running_job import RunningJob
from mqjobs.processing.services import Services
from mqjobs.store.children import NewChild, OwnRun

Start = Topic | Outgoing | Callable[[Job], Topic | Outgoing]

BATCH = 500


class DelayedChildren:
    """Creates the children of one root for the run of its own child."""

    def __init__(self, services: Services, own: RunningJob) -> None:
        self._store = services.store
        self._seal = services.envelopes.seal
        self._root_name = own.name
        self._run = OwnRun(own.root_id or 0, own.id, own.lease)

    async def create(self, wanted: Sequence[tuple[str, Start]]) -> list[Job]:
        """The children of these names, in that order; see `JobRunner.create_delayed`."""
        new = await self._prepare(wanted)
        await self._store.create_children(self._run, new)
        by_name = await self._store.children_by_name(
            self._run.root_id, [name for name, _ in wanted]
        )
        return [by_name[name] for name, _ in wanted]

    async def create_many(
        self, wanted: Iterable[tuple[str, Start]] | AsyncIterable[tuple[str, Start]]
    ) -> int:
        """How many children were created; see `JobRunner.create_delayed_many`."""
        created = 0
        async for batch in _batches(wanted):
            created += await self._store.create_children(self._run, await self._prepare(batch))
        return created

    async def _prepare(self, wanted: Sequence[tuple[str, Start]]) -> list[NewChild]:
        ids = await self._store.reserve_ids(len(wanted))
        return [
            self._child(job_id, name, start)
            for job_id, (name, start) in zip(ids, wanted, strict=True)
        ]

    def _child(self, job_id: int, name: str, start: Start) -> NewChild:
        if checked_name(name) == self._root_name:
            raise InvalidJobName(
                f"delayed child {name!r}: its root's own child has that name, give it one of its own"
            )
        if not isinstance(start, Topic | Outgoing):
            start = start(Job(job_id, self._run.root_id, None, name, JobStatus.NEW))
        return NewChild(name, replace(self._seal(start), job_id=job_id))


async def _batches(
    wanted: Iterable[tuple[str, Start]] | AsyncIterable[tuple[str, Start]],
) -> AsyncIterator[list[tuple[str, Start]]]:
    batch: list[tuple[str, Start]] = []
    async for each in _each(wanted):
        batch.append(each)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _each(
    wanted: Iterable[tuple[str, Start]] | AsyncIterable[tuple[str, Start]],
) -> AsyncIterator[tuple[str, Start]]:
    if isinstance(wanted, AsyncIterable):
        async for each in wanted:
            yield each
    else:
        for each in wanted:
            yield each
