"""What operators order, and what it does to the model: interrupts, cancellations, retries."""

from collections.abc import Sequence

from mqjobs.model.errors import RetryRefused
from mqjobs.model.interruption import Interruption
from mqjobs.model.status import JobStatus
from tests.support.job_model import Child, JobModel, Root


def interrupt_child(model: JobModel, child: Child) -> Interruption:
    if child.status.is_terminal:
        return Interruption.ENDED_BEFORE
    child.interrupted = True
    if model.is_held(child):
        return Interruption.STOPPING
    model.leave(child, JobStatus.CANCELLED)
    model.stir(child.root)
    return Interruption.CANCELLED


def interrupt_root(model: JobModel, root: Root) -> Interruption:
    if root.has_ended:
        return Interruption.ENDED_BEFORE
    root.interrupted = True
    idle = [child for child in root.open_children if not model.is_held(child)]
    for child in idle:
        model.leave(child, JobStatus.CANCELLED)
    if idle:
        model.stir(root)
    if len(root.children) == 1 and root.own.status is JobStatus.RUNNING:
        root.own.interrupted = True
    return Interruption.STOPPING if root.open_children else Interruption.CANCELLED


def cancel_if_new(model: JobModel, owner_id: str) -> int:
    """How many roots of this owner, whose own children nobody has started, are cancelled or will be."""
    mine = [root for root in model.roots if root.owner_id == owner_id]
    new = [root for root in mine if root.own.status is JobStatus.NEW]
    for root in new:
        if root.status is JobStatus.NEW:
            interrupt_root(model, root)
        else:
            interrupt_child(model, root.own)
    return len(new)


def retry_child(model: JobModel, child: Child) -> int:
    """How many children are new again. Raises RetryRefused."""
    return _retry(model, child.root, [child])


def retry_root(model: JobModel, root: Root) -> int:
    """How many children are new again. Raises RetryRefused."""
    failed = [child for child in root.children if child.status is JobStatus.FAILED]
    return _retry(model, root, failed)


def _retry(model: JobModel, root: Root, children: Sequence[Child]) -> int:
    retryable = {JobStatus.FAILED, JobStatus.CANCELLED}
    active = model.active(root.name)
    if (
        not children
        or any(child.status not in retryable or child.message is None for child in children)
        or root.stale
        or (root.interrupted and not root.has_ended)
        or active not in {None, root}
    ):
        raise RetryRefused(f"root {root.id}")
    root.retries += root.has_ended
    root.interrupted, root.has_ended, root.reopened = False, False, True
    for child in children:
        _renew(model, child)
    model.stir(root)
    return len(children)


def _renew(model: JobModel, child: Child) -> None:
    assert child.message is not None
    model.leave(child, JobStatus.NEW)
    child.interrupted, child.error, child.progress = False, None, 0
    child.attempt = child.crashes = 0
    child.retries += 1
    model.post(child.message)
