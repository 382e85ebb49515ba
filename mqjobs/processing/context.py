"""What a processor is handed besides its message."""

from dataclasses import dataclass

import structlog

from mqjobs.processing.attempt import Attempt
from mqjobs.processing.dependent_jobs import DependentJobs
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.producer import Producer
from mqjobs.store.database import Pool


@dataclass(frozen=True, slots=True)
class Context:
    """An attempt's surroundings.

    `jobs` runs jobs, `producer` sends messages, `log` has the message's id and topic bound, `database` is the pool of
    the database that mqjobs lives in, for tables of your own and for sends in your own transactions.
    """

    jobs: JobRunner
    producer: Producer
    dependent_jobs: DependentJobs
    log: structlog.stdlib.BoundLogger
    database: Pool
    attempt: Attempt
