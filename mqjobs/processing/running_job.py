"""The job that a callback is handed: its record, and its reports."""

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from mqjobs.model.errors import JobError
from mqjobs.model.job import Job
from mqjobs.store.job_store import JobStore

FIELDS = tuple(each.name for each in fields(Job))
values_of = attrgetter(*FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob(Job):
    """The job as it stood when it was claimed."""

    store: JobStore = field(repr=False, compare=False)
    max_bytes: int = field(repr=False, compare=False)

    @classmethod
    def of(
        cls, job: Job, store: JobStore, *, max_bytes: int, owner_id: str | None = None
    ) -> "RunningJob":
        """The job, able to report data of this size, as JSON; a root's own child has the owner of its root."""
        known = dict(zip(FIELDS, values_of(job), strict=True))
        known["owner_id"] = owner_id
        return cls(**known, store=store, max_bytes=max_bytes)

    async def report(
        self, *, progress: float | None = None, note: str | None = None, **data: Any
    ) -> None:
        """Operators see this progress (0 to 1) and these data; it counts as activity.

        Data are JSON values and stay until reported anew; all that a job keeps may be as large as a message. Raises
        LeaseLost where the job is no longer this run's, JobError for a progress or data that cannot be kept.
        """
        if progress is not None and not 0 <= progress <= 1:
            raise JobError(f"progress {progress!r} of job {self.id}: give 0 to 1")
        if note is not None:
            data["note"] = note
        await self.store.report(
            self.id, self.lease, progress=progress, data=data, max_bytes=self.max_bytes
        )
