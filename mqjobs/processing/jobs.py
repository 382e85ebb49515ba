"""The jobs as operators have them in hand: looked at, interrupted, retried, cleaned up."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType

from mqjobs.model.errors import NotARootJob
from mqjobs.model.interruption import Interruption
from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.processing.asking import ask
from mqjobs.processing.services import Services
from mqjobs.store import cleanup, job_reports, retries
from mqjobs.store.cleanup import Ended, Removed
from mqjobs.store.job_reports import ConsumerReport, DependentMessage, RootsWanted

KEPT_FOR: Mapping[JobStatus, timedelta] = MappingProxyType(
    {
        JobStatus.SUCCESS: timedelta(days=14),
        JobStatus.FAILED: timedelta(days=30),
        JobStatus.CANCELLED: timedelta(days=30),
        JobStatus.STALE: timedelta(days=30),
    }
)
"""How long ended root jobs are kept unless something else is said."""


class Jobs:
    """Every job there is, whoever runs it.

    Calls raise DatabaseUnavailable where PostgreSQL stays away, and UnknownJob where no job has the id.
    """

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._stale_after = services.stale_times.of

    async def get(self, job_id: int) -> Job:
        """The job of this id, root or child, as it stands now."""
        return await ask(self._store, lambda each: job_reports.job(each, job_id, self._stale_after))

    async def roots(
        self,
        *,
        statuses: Sequence[JobStatus] = (),
        name: str = "",
        only_stale: bool = False,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[Job]:
        """Root jobs, the newest first: of these statuses (none given: of any), with this text in their names.

        `only_stale`: those whose name the next request would take over. The next page is from `before` the last id on.
        """
        wanted = RootsWanted(statuses, name, only_stale, before, limit)
        return await ask(
            self._store, lambda each: job_reports.roots(each, wanted, self._stale_after)
        )

    async def children(
        self, root_id: int, *, status: JobStatus | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Job]:
        """Child jobs of this root, its own child among them, the oldest first; the next page is `after` the last id.

        Raises NotARootJob for the id of a child.
        """
        found = await ask(
            self._store,
            lambda each: job_reports.children(
                each, root_id, status=status, after=after, limit=limit
            ),
        )
        if not found:
            await self._require_root(root_id)
        return found

    async def open_counts(self, root_id: int, *, at_most: int = 10_000) -> Mapping[JobStatus, int]:
        """How many children of this root are new, running and waiting for another try.

        The root's own counters tell of those that have ended. None are counted beyond `at_most` of a status.
        """
        return await ask(
            self._store, lambda each: job_reports.open_counts(each, root_id, at_most=at_most)
        )

    async def dependents(
        self, root_id: int, *, after: int = 0, limit: int = 100
    ) -> Sequence[DependentMessage]:
        """What waits for this root's end or went out with it, the oldest first. Raises NotARootJob."""
        found = await ask(
            self._store,
            lambda each: job_reports.dependents(each, root_id, after=after, limit=limit),
        )
        if not found:
            await self._require_root(root_id)
        return found

    async def consumers(self, *, jobs_each: int = 20) -> Sequence[ConsumerReport]:
        """Who consumes, and of each what it runs, so many jobs at most, those first that have run the longest."""
        return await ask(self._store, lambda each: job_reports.consumers(each, jobs_each=jobs_each))

    async def interrupt(self, job_id: int) -> Interruption:
        """The job is cancelled, or will be once what runs of it has stopped (a child) or ended (a root's children)."""
        interruption = await self._store.interrupt(job_id)
        self._store.wake()
        return interruption

    async def retry(self, job_id: int) -> int:
        """This child, or every failed child of this root, is new again and its message on its way; how many.

        Raises RetryRefused where there is nothing to retry, or the root's name is another active job's.
        """
        retried = await ask(self._store, lambda each: retries.retry(each, job_id))
        self._store.wake()
        return retried

    async def cleanable(
        self, kept_for: Mapping[JobStatus, timedelta] = KEPT_FOR
    ) -> Sequence[Ended]:
        """How many roots of each of these ends ended longer ago than that: what `cleanup` would remove."""
        return await ask(self._store, lambda each: cleanup.count_ended(each, kept_for))

    async def cleanup(self, kept_for: Mapping[JobStatus, timedelta] = KEPT_FOR) -> Removed:
        """Roots that ended longer ago than that are gone, with their children and dependent messages.

        It goes by a few hundred roots at a time: what an error interrupts has been done so far.
        """
        removed = Removed()
        while True:
            batch = await ask(self._store, lambda each: cleanup.remove_ended(each, kept_for))
            if not batch.roots:
                return removed
            removed += batch

    async def _require_root(self, job_id: int) -> None:
        job = await self.get(job_id)
        if not job.is_root:
            raise NotARootJob(
                f"job {job_id} is a child of root job {job.root_id}: ask for that one"
            )
