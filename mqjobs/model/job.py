"""A job: the record of one piece of work."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mqjobs.model.errors import InvalidJobName
from mqjobs.model.status import JobStatus

NAME_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stood when it was read.

    A root has no `root_id`; the message that caused it is its `owner_id`. The counters are a root's, and count its
    children, the own child among them. `lease` is raised with every run: a fencing token for what a run writes
    elsewhere. `progress` is 0 to 1. `error` is None or what ended the last run: its type, text and traceback.
    """

    id: int
    root_id: int | None
    owner_id: str | None
    name: str
    status: JobStatus
    unique: bool = False
    own_child: bool = False
    interrupted: bool = False
    lease: int = 0
    attempt: int = 0
    consumer_id: UUID | None = None
    progress: float = 0.0
    error: str | None = None
    data: Mapping[str, Any] | None = None
    topic: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    last_active_at: datetime | None = None
    children: int = 0
    children_success: int = 0
    children_failed: int = 0
    children_cancelled: int = 0
    children_stale: int = 0
    looks_stale: bool = False

    @property
    def is_root(self) -> bool:
        """Whether this is a root job; else it is a child of one."""
        return self.root_id is None

    @property
    def children_open(self) -> int:
        """How many children of this root have not ended."""
        ended = self.children_success + self.children_failed + self.children_cancelled
        return self.children - ended - self.children_stale


def checked_name(name: str) -> str:
    """The name, if it can be a job's; else InvalidJobName."""
    if not name:
        raise InvalidJobName("a job's name is empty: give it one that says what it does")
    if len(name) > NAME_LENGTH:
        raise InvalidJobName(
            f"job name {name[:40]!r}… has {len(name)} characters: {NAME_LENGTH} at most"
        )
    if not is_storable(name):
        raise InvalidJobName(
            f"job name {name!r} has a NUL or half a surrogate pair: PostgreSQL cannot keep it, leave it out"
        )
    return name


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep the text: it is Unicode without NUL."""
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
