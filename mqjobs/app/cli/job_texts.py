"""Jobs in a few words: on a line, as a tree, in full."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from mqjobs.app.cli.output import ago, facts, lasted, listing, quiet, text_of
from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.model.tracebacks import what_went_wrong
from mqjobs.store.job_reports import DependentMessage

STYLES = {
    JobStatus.RUNNING: "cyan",
    JobStatus.SUCCESS: "green",
    JobStatus.FAILED: "red",
    JobStatus.FAILED_REDELIVERED: "red",
    JobStatus.CANCELLED: "yellow",
    JobStatus.STALE: "yellow",
}
OPEN = (JobStatus.RUNNING, JobStatus.FAILED_REDELIVERED, JobStatus.NEW)


@dataclass(frozen=True, slots=True)
class Branch:
    """The children of a root in one status: how many (at least, where `is_capped`), and the first of them."""

    status: JobStatus
    count: int
    is_capped: bool
    children: Sequence[Job]


def ended_counts(root: Job) -> Mapping[JobStatus, int]:
    """How many children of the root came to each end."""
    return {
        JobStatus.FAILED: root.children_failed,
        JobStatus.CANCELLED: root.children_cancelled,
        JobStatus.STALE: root.children_stale,
        JobStatus.SUCCESS: root.children_success,
    }


def roots_listing(roots: Sequence[Job], now: datetime) -> Table:
    """Root jobs, a line each."""
    return listing(
        "id name status progress children created took",
        (
            (
                str(root.id),
                root.name,
                status_of(root),
                f"{root.progress:.0%}",
                _what_is_left(root),
                ago(root.created_at, now),
                time_taken(root, now),
            )
            for root in roots
        ),
        numbers="id progress",
        long="name",
    )


def children_listing(children: Sequence[Job], now: datetime) -> Table:
    """Child jobs, a line each."""
    return listing(
        "id name status progress attempt created took error",
        (
            (
                str(child.id),
                child.name,
                status_of(child),
                f"{child.progress:.0%}",
                str(child.attempt),
                ago(child.created_at, now),
                time_taken(child, now),
                reason_of(child) or "",
            )
            for child in children
        ),
        numbers="id progress attempt",
        long="name error",
    )


def status_of(job: Job) -> Text:
    """The status, and what else is the matter with it."""
    text = Text(job.status, style=STYLES.get(job.status, ""))
    if job.interrupted and not job.status.is_terminal:
        text.append(", interrupted", style="yellow")
    if job.looks_stale:
        text.append(", looks stale", style="yellow")
    return text


def counts_of(root: Job) -> str:
    """How many children there are, and how many of them stand where; none of what there is none."""
    parts = {"open": root.children_open, **{str(key): n for key, n in ended_counts(root).items()}}
    numbers = [f"{number:,} {word}" for word, number in parts.items() if number]
    return f"{root.children:,}: {', '.join(numbers)}" if numbers else "0"


def _what_is_left(root: Job) -> str:
    """How many children there are, and how many of them did not come to success."""
    parts = {"open": root.children_open, **{str(key): n for key, n in ended_counts(root).items()}}
    del parts[JobStatus.SUCCESS]
    return ", ".join(
        [f"{root.children:,}", *(f"{number:,} {word}" for word, number in parts.items() if number)]
    )


def time_taken(job: Job, now: datetime) -> str:
    """From the start to the end, or to now where there is no end yet."""
    if job.started_at is None:
        return "–"
    return lasted((job.stopped_at or now) - job.started_at)


def reason_of(job: Job) -> str | None:
    """The error on one line."""
    return what_went_wrong(job.error or "") or None


def _percent(progress: float) -> str:
    """As exact as it is known: 0%, 12.5%, 33.33%."""
    return f"{round(100 * progress, 2):g}%"


def job_facts(job: Job, now: datetime) -> Table:
    """All that is known of a job."""
    return facts(
        {
            "job": f"{job.id}  {job.name}",
            "kind": _kind(job),
            "status": status_of(job),
            "progress": _percent(job.progress),
            "children": counts_of(job) if job.is_root else None,
            "topic": job.topic,
            "message": job.owner_id,
            "attempt": None if job.is_root else str(job.attempt),
            "lease": None if job.is_root else str(job.lease),
            "consumer": str(job.consumer_id) if job.consumer_id else None,
            "created": _moment(job.created_at, now),
            "started": _moment(job.started_at, now),
            "active": _moment(job.last_active_at, now),
            "stopped": _moment(job.stopped_at, now),
            "took": time_taken(job, now),
            "data": ", ".join(f"{key}={value}" for key, value in (job.data or {}).items()) or None,
            "error": Text((job.error or "").rstrip(), style="red") if job.error else None,
        }
    )


def dependents_listing(dependents: Sequence[DependentMessage], now: datetime) -> Table:
    """Dependent messages, a line each."""
    return listing(
        "dependent_message topic waits_for sent body",
        (
            (
                str(one.envelope.id),
                one.envelope.topic,
                one.on or "success or failed",
                ago(one.sent_at, now) if one.sent_at else "no",
                text_of(one.envelope.body),
            )
            for one in dependents
        ),
        long="topic body",
    )


def job_tree(root: Job, branches: Sequence[Branch], now: datetime) -> Tree:
    """The root, and under each status its count and a few children."""
    tree = Tree(_line(root, now), guide_style="dim")
    for branch in branches:
        count = f"{branch.count:,}{'+' if branch.is_capped else ''}"
        limb = tree.add(Text(f"{branch.status} {count}", style=STYLES.get(branch.status, "")))
        for child in branch.children:
            limb.add(_child(child, now))
        hidden = branch.count - len(branch.children)
        if hidden > 0:
            limb.add(quiet(f"… {hidden:,}{'+' if branch.is_capped else ''} more"))
    return tree


def _child(child: Job, now: datetime) -> RenderableType:
    line = _line(child, now)
    reason = reason_of(child)
    if reason and child.status is not JobStatus.SUCCESS:
        line.append(f"  {reason}", style="red")
    return line


def _line(job: Job, now: datetime) -> Text:
    text = Text.assemble((f"{job.id} ", "dim"), job.name)
    if job.is_root:
        text.append("  ").append_text(status_of(job)).append(f"  {job.progress:.0%}")
    elif job.own_child:
        text.append("  own child", style="dim")
    elif job.interrupted and not job.status.is_terminal:
        text.append("  interrupted", style="yellow")
    if job.started_at is not None:
        text.append(f"  {time_taken(job, now)}", style="dim")
    return text


def _kind(job: Job) -> str:
    if job.is_root:
        return "unique root job" if job.unique else "root job"
    if job.own_child:
        return f"own child of root job {job.root_id}"
    return f"delayed child of root job {job.root_id}"


def _moment(moment: datetime | None, now: datetime) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC, {ago(moment, now)}"
