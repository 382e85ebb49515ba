"""Jobs as the specification's tables have them, in memory: what PostgreSQL is compared with."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from mqjobs.model.message import Envelope
from mqjobs.model.status import JobStatus

OPEN = frozenset({JobStatus.NEW, JobStatus.RUNNING, JobStatus.FAILED_REDELIVERED})
WAITING = frozenset({JobStatus.NEW, JobStatus.FAILED_REDELIVERED})


@dataclass(frozen=True)
class Asks:
    """A message that asks for a child: a delayed one by its id, an own child by its root's owner."""

    message_id: UUID
    job_id: int | None


@dataclass(frozen=True)
class Follows:
    """A dependent message."""

    message_id: UUID


@dataclass(frozen=True)
class Announces:
    """The message about a root's end."""

    root_id: int
    status: JobStatus


MessageKey = Asks | Follows | Announces


@dataclass
class Waiting:
    """A message in the outbox, due in so many seconds."""

    key: MessageKey
    due_in: float = 0


@dataclass(eq=False)
class Run:
    """Code that runs a child under a lease, or believes that it does; `left` is what its finish was answered."""

    child: "Child"
    lease: int
    consumer_id: UUID
    envelope: Envelope | None
    left: JobStatus | None = None

    @property
    def counts(self) -> bool:
        """Whether the child is this run's; else whatever it reports changes nothing."""
        return self.child.run is self


@dataclass(eq=False)
class Child:
    """A child job; `finished_by` is the run whose written outcome stands, `starts` and `ends` count its moments."""

    id: int
    root: "Root" = field(repr=False)
    name: str
    message: Asks | None
    own: bool = False
    status: JobStatus = JobStatus.NEW
    run: Run | None = field(default=None, repr=False)
    finished_by: Run | None = field(default=None, repr=False)
    interrupted: bool = False
    attempt: int = 0
    crashes: int = 0
    retries: int = 0
    progress: float = 0
    error: str | None = None
    starts: int = 0
    ends: int = 0


@dataclass(eq=False)
class Dependent:
    """A message that waits for the end of its root; `on` None: for both ends that send any."""

    message_id: UUID
    on: JobStatus | None
    sent: bool = False


@dataclass(eq=False)
class Root:
    """A root job; `idle` are the seconds since something happened in it, `activities` counts what did."""

    id: int
    owner_id: str
    name: str
    children: list[Child] = field(default_factory=list)
    dependents: list[Dependent] = field(default_factory=list)
    interrupted: bool = False
    stale: bool = False
    reopened: bool = False
    has_ended: bool = False
    retries: int = 0
    idle: float = 0
    activities: int = 0
    ends: int = 0

    @property
    def status(self) -> JobStatus:
        if self.stale:
            return JobStatus.STALE
        statuses = [child.status for child in self.children]
        return derived_status(statuses, interrupted=self.interrupted, reopened=self.reopened)

    @property
    def own(self) -> Child:
        return self.children[0]

    @property
    def open_children(self) -> list[Child]:
        return [child for child in self.children if child.status in OPEN]


def derived_status(
    children: Iterable[JobStatus], *, interrupted: bool, reopened: bool
) -> JobStatus:
    """The status of a root with these children; one that a retry has opened again is not new a second time."""
    statuses = set(children)
    if statuses == {JobStatus.NEW} and not reopened:
        return JobStatus.NEW
    if statuses & OPEN:
        return JobStatus.RUNNING
    if interrupted or JobStatus.CANCELLED in statuses:
        return JobStatus.CANCELLED
    return JobStatus.FAILED if JobStatus.FAILED in statuses else JobStatus.SUCCESS


def derived_progress(children: Iterable[JobStatus]) -> float:
    """The progress of a root with these children."""
    statuses = list(children)
    done = statuses.count(JobStatus.SUCCESS) + statuses.count(JobStatus.FAILED)
    return round(done / len(statuses), 4)


class JobModel:
    """All roots, the consumers that live, the outbox; and what follows when a child has moved."""

    def __init__(self, crashes_allowed: int) -> None:
        self.crashes_allowed = crashes_allowed
        self.roots: list[Root] = []
        self.known: set[UUID] = set()
        self.alive: set[UUID] = set()
        self.outbox: list[Waiting] = []

    @property
    def children(self) -> list[Child]:
        return [child for root in self.roots for child in root.children]

    def root_of(self, owner_id: str, name: str) -> Root | None:
        """The root that this owner has under this name."""
        found = [root for root in self.roots if (root.owner_id, root.name) == (owner_id, name)]
        return found[0] if found else None

    def active(self, name: str) -> Root | None:
        """The one active root of this name."""
        found = [root for root in self.roots if root.name == name and not root.has_ended]
        return found[0] if found else None

    def asked_for(self, envelope: Envelope) -> Child:
        """The child that a message asks for."""
        key = Asks(envelope.id, envelope.job_id)
        [child] = [child for child in self.children if child.message == key]
        return child

    def is_held(self, child: Child) -> bool:
        """Whether the child runs in a live consumer."""
        return child.run is not None and child.run.consumer_id in self.alive

    def post(self, key: MessageKey, due_in: float = 0) -> None:
        """The message is in the outbox."""
        self.outbox.append(Waiting(key, due_in))

    def take_due(self) -> list[MessageKey]:
        """What is due leaves the outbox."""
        due = [waiting.key for waiting in self.outbox if waiting.due_in <= 0]
        self.outbox = [waiting for waiting in self.outbox if waiting.due_in > 0]
        return due

    def pass_time(self, seconds: float) -> None:
        """Nothing happens for so long."""
        for root in self.roots:
            root.idle += seconds
        for waiting in self.outbox:
            waiting.due_in -= seconds

    def leave(self, child: Child, status: JobStatus, by: Run | None = None) -> None:
        """The child runs no longer, if it did; `by` the run that wrote it."""
        child.status, child.run, child.finished_by = status, None, by
        if status is JobStatus.SUCCESS:
            child.progress = 1
        if status.is_terminal:
            child.ends += 1

    def stir(self, root: Root) -> None:
        """Something has happened in the root: it is active, and where its last child has ended, so has it."""
        root.activities += 1
        root.idle = 0
        if not root.open_children and not root.has_ended:
            self.close(root)

    def close(self, root: Root) -> None:
        """The root has come to its end: who waited for it is sent, once, and who subscribes is told."""
        root.has_ended = True
        root.ends += 1
        self.post(Announces(root.id, root.status))
        if root.status not in {JobStatus.SUCCESS, JobStatus.FAILED}:
            return
        for dependent in root.dependents:
            if not dependent.sent and dependent.on in {None, root.status}:
                dependent.sent = True
                self.post(Follows(dependent.message_id))
