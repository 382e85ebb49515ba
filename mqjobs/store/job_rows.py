"""From rows of the job table to jobs."""

import asyncpg

from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus


def job_of(row: asyncpg.Record, *, looks_stale: bool = False) -> Job:
    """The job in a row that has all columns of the job table."""
    return Job(
        id=row["id"],
        root_id=row["root_id"],
        owner_id=row["owner_id"],
        name=row["name"],
        status=JobStatus(row["status"]),
        unique=row["is_unique"],
        own_child=row["is_own_child"],
        interrupted=row["interrupted"],
        lease=row["lease"],
        attempt=row["attempt"],
        consumer_id=row["consumer_id"],
        progress=float(row["progress"]),
        error=row["error"],
        data=row["data"],
        topic=row["topic"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        stopped_at=row["stopped_at"],
        last_active_at=row["last_active_at"],
        children=row["children"],
        children_success=row["children_success"],
        children_failed=row["children_failed"],
        children_cancelled=row["children_cancelled"],
        children_stale=row["children_stale"],
        looks_stale=looks_stale,
    )
