"""What an interrupt came to."""

from enum import StrEnum


class Interruption(StrEnum):
    """CANCELLED: the job has ended. STOPPING: what runs of it ends first. ENDED_BEFORE: nothing changed."""

    CANCELLED = "cancelled"
    STOPPING = "stopping"
    ENDED_BEFORE = "ended_before"
