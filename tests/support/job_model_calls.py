"""What births, runs and consumers do to the model, and what each call is answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from mqjobs.model.errors import LeaseLost
from mqjobs.model.outcome import StopReason
from mqjobs.model.status import JobStatus
from mqjobs.store.consumers import Reaped
from tests.support.job_model import WAITING, Asks, Child, Dependent, JobModel, Root, Run

REAPED = "the consumer that ran it died"


@dataclass(frozen=True)
class Request:
    """A root that is asked for; `stale_after` None: it never takes over."""

    owner_id: str
    name: str
    message: Asks | None
    stale_after: timedelta | None


# Roots


def in_the_way(model: JobModel, wanted: Request) -> Root | None:
    """The root that keeps a new one of this name from being made."""
    root = model.active(wanted.name)
    if root is None or (is_stale(root, wanted.stale_after) and not is_protected(model, root)):
        return None
    return root


def is_stale(root: Root, after: timedelta | None) -> bool:
    return after is not None and root.idle > after.total_seconds()


def is_protected(model: JobModel, root: Root) -> bool:
    return any(model.is_held(child) for child in root.children if not child.own)


def create_root(model: JobModel, wanted: Request, root_id: int, own_child_id: int) -> Root:
    """The new root; the one that had its name is stale."""
    before = model.active(wanted.name)
    if before is not None:
        make_stale(model, before)
    root = Root(root_id, wanted.owner_id, wanted.name)
    root.children.append(Child(own_child_id, root, wanted.name, wanted.message, own=True))
    model.roots.append(root)
    return root


def make_stale(model: JobModel, root: Root) -> None:
    for child in root.open_children:
        model.leave(child, JobStatus.STALE)
    root.stale = True
    model.close(root)


# Runs


def may_claim(model: JobModel, child: Child, consumer_id: UUID) -> bool:
    """Whether a claim of this child by this consumer is granted."""
    if consumer_id not in model.alive:
        return False
    if child.status in WAITING:
        return True
    if child.status is not JobStatus.RUNNING or model.is_held(child):
        return False
    interrupted = child.interrupted or child.root.interrupted
    return not interrupted and child.crashes + 1 < model.crashes_allowed


def claim(model: JobModel, run: Run) -> None:
    """The child is this run's."""
    child = run.child
    if child.status is JobStatus.RUNNING:
        child.crashes += 1
    else:
        child.attempt += 1
    child.status, child.run, child.finished_by = JobStatus.RUNNING, run, None
    child.starts += 1
    model.stir(child.root)


@dataclass(frozen=True)
class Outcome:
    """What a run comes to; `again_in` is the wait before the next run, where there is to be one."""

    status: JobStatus
    error: str | None = None
    again_in: timedelta | None = None
    counts: bool = True


def finish(model: JobModel, run: Run, outcome: Outcome) -> JobStatus | None:
    """What the run left its child in; None: the lease was lost."""
    child = run.child
    if child.finished_by is run:
        return run.left
    if not run.counts:
        return None
    interrupted = child.interrupted or child.root.interrupted
    again = outcome.status is JobStatus.FAILED_REDELIVERED
    run.left = JobStatus.CANCELLED if again and interrupted else outcome.status
    child.attempt -= not outcome.counts
    child.error = outcome.error
    model.leave(child, run.left, by=run)
    if run.left is JobStatus.FAILED_REDELIVERED and run.envelope and outcome.again_in is not None:
        key = Asks(run.envelope.id, run.envelope.job_id)
        model.post(key, outcome.again_in.total_seconds())
    model.stir(child.root)
    return run.left


def create_children(
    model: JobModel, run: Run, wanted: Sequence[tuple[int, str, UUID]], due_in: float
) -> int:
    """How many of these (id, name, message id) were created. Raises LeaseLost."""
    hold(run)
    root = run.child.root
    created = 0
    for job_id, name, message_id in wanted:
        if any(child.name == name for child in root.children):
            continue
        child = Child(job_id, root, name, Asks(message_id, job_id))
        root.children.append(child)
        created += 1
        if root.interrupted:
            model.leave(child, JobStatus.CANCELLED)
        else:
            model.post(Asks(message_id, job_id), due_in)
    if created:
        model.stir(root)
    return created


def add_dependents(run: Run, dependents: Sequence[Dependent]) -> None:
    """They wait for the root's end; one that is there already is not there twice. Raises LeaseLost."""
    hold(run)
    root = run.child.root
    there = {dependent.message_id for dependent in root.dependents}
    root.dependents += [one for one in dependents if one.message_id not in there]


def report(model: JobModel, run: Run, progress: float | None) -> None:
    """The progress is the child's. Raises LeaseLost."""
    hold(run)
    if progress is not None:
        run.child.progress = progress
    model.stir(run.child.root)


def hold(run: Run) -> None:
    if not run.counts:
        raise LeaseLost(f"lease {run.lease} of child {run.child.id}")


# Consumers


def look_after(runs: Sequence[Run]) -> Mapping[tuple[int, int], StopReason]:
    """Which of these runs are to stop."""
    return {
        (run.child.id, run.lease): (StopReason.INTERRUPTED if run.counts else StopReason.LEASE_LOST)
        for run in runs
        if not run.counts or run.child.interrupted
    }


def reap(model: JobModel) -> Reaped:
    """What runs in no live consumer runs again, fails or is cancelled."""
    orphans = [
        child
        for child in model.children
        if child.status is JobStatus.RUNNING and not model.is_held(child)
    ]
    becomes = [_reap(model, child) for child in orphans]
    dead = model.known - model.alive
    model.known -= dead
    return Reaped(
        consumers=len(dead),
        redelivered=becomes.count(JobStatus.FAILED_REDELIVERED),
        failed=becomes.count(JobStatus.FAILED),
        cancelled=becomes.count(JobStatus.CANCELLED),
    )


def _reap(model: JobModel, child: Child) -> JobStatus:
    child.crashes += 1
    child.attempt -= 1
    child.error = REAPED
    if child.interrupted or child.root.interrupted:
        becomes = JobStatus.CANCELLED
    elif child.crashes >= model.crashes_allowed or child.message is None:
        becomes = JobStatus.FAILED
    else:
        becomes = JobStatus.FAILED_REDELIVERED
        model.post(child.message)
    model.leave(child, becomes)
    model.stir(child.root)
    return becomes
