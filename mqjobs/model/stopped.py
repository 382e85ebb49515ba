"""The message about a root job's end."""

from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.model.topic import Topic


class RootJobStopped(Topic, name="mqjobs.root_job_stopped", priority=Priority.HIGH):
    """A root job has ended, and this is how. Sent to those who subscribe, in the transaction that ends it."""

    job_id: int
    name: str
    status: JobStatus
