"""Where a job stands, and the moves between those places."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class JobStatus(StrEnum):
    """The status of a root job or a child job."""

    NEW = "new"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STALE = "stale"
    FAILED_REDELIVERED = "failed_redelivered"

    @property
    def is_terminal(self) -> bool:
        """Nothing leaves a terminal status but an explicit retry by an operator."""
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.STALE})

Moves = Mapping[JobStatus, frozenset[JobStatus]]

CHILD_MOVES: Moves = MappingProxyType(
    {
        JobStatus.NEW: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.STALE}),
        JobStatus.RUNNING: TERMINAL | {JobStatus.FAILED_REDELIVERED},
        JobStatus.FAILED_REDELIVERED: frozenset(
            {JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.STALE}
        ),
        JobStatus.SUCCESS: frozenset(),
        JobStatus.FAILED: frozenset(),
        JobStatus.CANCELLED: frozenset(),
        JobStatus.STALE: frozenset(),
    }
)

ROOT_MOVES: Moves = MappingProxyType(
    {
        JobStatus.NEW: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.STALE}),
        JobStatus.RUNNING: TERMINAL,
        JobStatus.FAILED_REDELIVERED: frozenset(),
        JobStatus.SUCCESS: frozenset(),
        JobStatus.FAILED: frozenset(),
        JobStatus.CANCELLED: frozenset(),
        JobStatus.STALE: frozenset(),
    }
)

CHILD_RETRIES: frozenset[JobStatus] = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
"""What an operator's retry may lead a child back from, to NEW; its root goes back to RUNNING."""
