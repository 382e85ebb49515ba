"""The checker: holds what the ledger says against what the database says, and counts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.ledger import Event, Outcome
from tests.faults.records import JobRecord, Records
from tests.faults.runs import Run, Story

FORBIDDEN = {
    "lost": "sends that returned and came to nothing",
    "overlapping": "runs of a job while another run of it went on",
    "lease twice": "runs under a lease that another run had",
    "without a reason": "runs again after a run that had ended, in a process that lived",
    "after the end": "runs that began after their job had ended",
    "unfounded": "jobs that succeeded without a run that returned True under their lease",
    "endless": "runs in a living process that never ended",
    "root ends": "root jobs that have ended not once, or not as often as they were opened",
    "announced": "root jobs whose end was not announced once",
    "dependents": "dependent messages released not once, or against the root's end, or never received",
    "names twice": "names that two active root jobs had",
    "miscounted": "root jobs whose counters are not a recount",
    "left open": "jobs that have not ended",
    "left waiting": "messages still in queues or in the outbox",
}

SHOWN = 5
CLOCKS_DIFFER = 0.25
STOPPING_TAKES = 5.0
"""A run that was granted just before its job was taken from it may have begun just after."""


@dataclass
class Findings:
    """How much there was of what; of what is forbidden, the first few as they were."""

    counts: dict[str, int] = field(default_factory=dict)
    forbidden: dict[str, list[str]] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether every forbidden count is 0."""
        return not any(self.forbidden.values())


def check(events: Sequence[Event], records: Records) -> Findings:
    """What happened, and what should not have."""
    story = Story.of(events)
    rules = {
        "lost": _lost(story, records),
        "overlapping": _overlapping(story),
        "lease twice": _lease_twice(story),
        "without a reason": _without_a_reason(story),
        "after the end": _after_the_end(story, records),
        "unfounded": _unfounded(story, records),
        "endless": (run.told for run in story.runs if run.end is None),
        "root ends": _root_ends(records),
        "announced": _announced(story, records),
        "dependents": _dependents(story, records),
        "names twice": iter(sorted(records.names_twice)),
        "miscounted": ("a root" for _ in range(records.miscounted)),
        "left open": (_told(job) for job in records.jobs if not job.has_ended),
        "left waiting": ("a message" for _ in range(records.left_in_queues)),
    }
    assert set(rules) == set(FORBIDDEN)
    return Findings(_counts(story, records), {name: list(found) for name, found in rules.items()})


def _counts(story: Story, records: Records) -> dict[str, int]:
    again = [
        (before, after)
        for runs in story.by_job.values()
        for before, after in pairwise(runs)
        if before.outcome not in {Outcome.RAISED, Outcome.REDELIVER}
    ]
    children = Counter(job.status for job in records.jobs if job.root is not None)
    return {
        "sent": len(story.sent),
        "blocked by a job of that name": sum(
            sent.get("blocked_by") is not None for sent in story.sent
        ),
        "refused": story.refused,
        "root jobs": sum(job.root is None for job in records.jobs),
        "child jobs": sum(job.root is not None for job in records.jobs),
        **{
            f"child jobs {status}": children[status]
            for status in ("success", "failed", "cancelled", "stale")
        },
        "dependent messages": len(records.dependents),
        "dead letters": len(records.dead_letters),
        "runs": len(story.runs),
        "runs of jobs": sum(len(runs) for runs in story.by_job.values()),
        "run again after a death or a stop": len(again),
        "begun again while detached": sum(1 for _ in _overtaken(story)),
        "lost with the broker's memory": sum(1 for _ in _lost_with_the_broker(story, records)),
        "deaths": len(story.deaths),
        "detached or held up": sum(len(spans) for spans in story.detached.values()),
    }


def _lost(story: Story, records: Records) -> Iterator[str]:
    for sent in _without_end(story, records):
        if sent.get("job") is not None or sent.at > story.forgotten:
            yield f"message {sent.get('message')} of job {sent.get('job')}"


def _lost_with_the_broker(story: Story, records: Records) -> Iterator[Event]:
    """The honest exception: of a message without a job nobody but the broker knows, once it has it."""
    for sent in _without_end(story, records):
        if sent.get("job") is None and sent.at <= story.forgotten:
            yield sent


def _without_end(story: Story, records: Records) -> Iterator[Event]:
    """A job's message is acted on when the job has ended: what became of that is for the other rules."""
    roots = {job.id for job in records.jobs if job.root is None}
    for sent in story.sent:
        if sent.get("blocked_by") is not None:
            continue
        job, message = sent.get("job"), sent.get("message")
        if job in roots if job is not None else message in story.acted_on | records.dead_letters:
            continue
        yield sent


def _was_forgotten(root: JobRecord, story: Story) -> bool:
    """Whether what was sent when this root ended may have been lost with the broker's memory."""
    return root.stopped is not None and root.stopped <= story.forgotten


def _overlaps(story: Story) -> Iterator[tuple[Run, Run]]:
    for runs in story.by_job.values():
        longest = runs[0]
        for run in runs[1:]:
            if run.start < longest.ends:
                yield longest, run
            if run.ends > longest.ends:
                longest = run


def _overlapping(story: Story) -> Iterator[str]:
    for before, after in _overlaps(story):
        if not story.was_detached(before, after.start):
            yield f"{after.told} while {before.told}"


def _overtaken(story: Story) -> Iterator[Run]:
    """The honest exception: the process of the run before could not say that it lived."""
    for before, after in _overlaps(story):
        if story.was_detached(before, after.start):
            yield after


def _lease_twice(story: Story) -> Iterator[str]:
    for runs in story.by_job.values():
        for before, after in pairwise(sorted(runs, key=lambda run: (run.lease, run.start))):
            if before.lease == after.lease:
                yield after.told


def _without_a_reason(story: Story) -> Iterator[str]:
    for runs in story.by_job.values():
        for before, after in pairwise(runs):
            if before.outcome not in {Outcome.TRUE, Outcome.FALSE}:
                continue
            if story.was_retried(before, after) or story.was_detached(before, after.start):
                continue
            if story.has_died(before.process, after.start):
                continue
            yield f"{after.told} after {before.told}"


def _after_the_end(story: Story, records: Records) -> Iterator[str]:
    jobs = {job.id: job for job in records.jobs}
    for job_id, runs in story.by_job.items():
        job = jobs.get(job_id)
        if job is None or job.stopped is None:
            continue
        for run in runs:
            late = run.start - job.stopped
            allowed = STOPPING_TAKES if _was_taken(job, run) else CLOCKS_DIFFER
            if late > allowed and not story.was_detached(run, run.start):
                yield f"{run.told} {late:.2f} s after {_told(job)}"


def _was_taken(job: JobRecord, run: Run) -> bool:
    return job.lease > run.lease


def _unfounded(story: Story, records: Records) -> Iterator[str]:
    returned_true = {
        (run.job, run.lease) for run in story.runs if run.outcome is Outcome.TRUE and run.job
    }
    for job in records.jobs:
        if job.root is None or job.status != "success":
            continue
        if (job.id, job.lease) not in returned_true:
            yield _told(job)


def _root_ends(records: Records) -> Iterator[str]:
    for job in records.jobs:
        if job.root is None and job.has_ended and records.ends[job.id] != job.retries + 1:
            yield f"{_told(job)} has ended {records.ends[job.id]} times"


def _announced(story: Story, records: Records) -> Iterator[str]:
    for job in records.jobs:
        if job.root is not None or not job.has_ended:
            continue
        heard = len(story.announcements[job.id])
        if heard != job.retries + 1 and not (heard <= job.retries and _was_forgotten(job, story)):
            yield f"{_told(job)} was announced {heard} times"


def _dependents(story: Story, records: Records) -> Iterator[str]:
    roots = {job.id: job for job in records.jobs if job.root is None}
    known = {dependent.message for dependent in records.dependents}
    for dependent in records.dependents:
        told = f"dependent {dependent.id} of {_told(roots[dependent.root])}"
        if records.releases[dependent.id] != dependent.is_sent:
            yield f"{told} was released {records.releases[dependent.id]} times"
        root = roots[dependent.root]
        received = dependent.message in story.acted_on | records.dead_letters
        if dependent.is_sent != received and (received or not _was_forgotten(root, story)):
            yield f"{told} was sent {dependent.is_sent}, received {received}"
        fits = root.status in {"success", "failed"} and dependent.on in {None, root.status}
        if fits != dependent.is_sent and not root.retries:
            yield f"{told} was sent {dependent.is_sent}, its root has ended with {root.status}"
    for message in sorted(story.dependents_heard - known):
        yield f"message {message} is no dependent of any root"


def _told(job: JobRecord) -> str:
    return f"job {job.id} {job.name!r} {job.status}"
