"""From rows to jobs."""

from mqjobs.model.status import JobStatus
from mqjobs.store.job_rows import job_of
from tests.support.stored_jobs import StoredJobs


async def test_a_job_says_all_that_its_row_does(work: StoredJobs) -> None:
    root = await work.root("import")
    own = await work.run(root.own_child_id)
    row = await work.connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", root.id)
    assert row is not None

    job = job_of(row, looks_stale=True)

    assert (job.id, job.root_id, job.name, job.status) == (
        root.id,
        None,
        "import",
        JobStatus.RUNNING,
    )
    assert (job.unique, job.own_child, job.children, job.looks_stale) == (True, False, 1, True)
    assert own.own_child
    assert (own.started_at, own.progress) == (own.started_at, 0.0)
    for field in ("owner_id", "created_at", "started_at", "stopped_at", "last_active_at", "error"):
        assert getattr(job, field) == row[field]
