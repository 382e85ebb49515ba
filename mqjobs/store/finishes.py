"""Finishes: how a run's outcome is written, once, by the holder of its lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from mqjobs.model.message import Envelope
from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.messages import insert_messages, storable
from mqjobs.store.roots import Moved, lock_roots_of, move_roots
from mqjobs.store.statements import statements

SQL = statements("children")


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """The outcome of a run: where the job goes, and the message that asks for its next run, if there is to be one.

    A run that does not count as an attempt was given back by its consumer. `takes_lease`: its code may go on, and is
    to write nothing any more.
    """

    job_id: int
    lease: int
    status: JobStatus
    error: str | None = None
    again: Envelope | None = None
    counts_as_attempt: bool = True
    takes_lease: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What became of runs' outcomes, see `finish_children`; `sent`: how many messages were written with them."""

    statuses: list[JobStatus | None]
    sent: int


async def finish_children(
    connection: Connection, runs: Sequence[FinishedRun]
) -> list[JobStatus | None]:
    """The status that each run left its job in, or None where the lease was lost: then nothing was written.

    With the jobs move their roots, the messages of next runs, and the dependent messages of roots that ended. What
    was interrupted meanwhile is cancelled instead of tried again. Finishing a run again with the same outcome finds
    it written, unless the job has been claimed or retried since: then the answer is None all the same. The caller
    opens the transaction.
    """
    return (await write_finishes(connection, runs)).statuses


async def write_finishes(connection: Connection, runs: Sequence[FinishedRun]) -> Written:
    """See `finish_children`."""
    await lock_roots_of(connection, [run.job_id for run in runs])
    rows = await connection.fetch(
        SQL["finish_children"],
        [run.job_id for run in runs],
        [run.lease for run in runs],
        [run.status for run in runs],
        [storable(run.error) if run.error else None for run in runs],
        [run.counts_as_attempt for run in runs],
        [run.takes_lease for run in runs],
    )
    finished = {(row["id"], row["lease"]): JobStatus(row["status"]) for row in rows}
    left = [finished.get((run.job_id, run.lease)) for run in runs]
    sent = 0
    if rows:
        again = [
            run.again for run, status in zip(runs, left, strict=True) if _runs_again(status, run)
        ]
        await insert_messages(connection, [envelope for envelope in again if envelope])
        sent = len(again) + await move_roots(
            connection, [Moved(row["root_id"], JobStatus(row["status"])) for row in rows]
        )
    statuses = [
        status or await _written_before(connection, run)
        for run, status in zip(runs, left, strict=True)
    ]
    return Written(statuses, sent)


async def fail_unrun_child(
    connection: Connection, job_id: int, error: str, *, call_id: UUID, consumer_id: UUID
) -> bool:
    """The child has failed without having run, by this call; False where it has ended or runs in a live consumer.

    A call made again, because the answer was lost, is answered as the first. The caller opens the transaction.
    """
    await lock_roots_of(connection, [job_id])
    lease = await connection.fetchval(SQL["begin_unrun_child"], job_id, call_id, consumer_id)
    if lease is None:
        return bool(await connection.fetchval(SQL["was_ended_by"], job_id, call_id))
    await finish_children(connection, [FinishedRun(job_id, lease, JobStatus.FAILED, error)])
    return True


def _runs_again(status: JobStatus | None, run: FinishedRun) -> bool:
    return status is JobStatus.FAILED_REDELIVERED and run.again is not None


async def _written_before(connection: Connection, run: FinishedRun) -> JobStatus | None:
    """What this run left its job in if it was written already: its commit's answer was lost."""
    row = await connection.fetchrow(SQL["read_jobs"], [run.job_id])
    lease = run.lease + run.takes_lease
    if row is None or row["lease"] != lease or row["status"] == JobStatus.RUNNING:
        return None
    return JobStatus(row["status"])
