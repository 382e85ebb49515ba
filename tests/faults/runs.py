"""The story that a ledger tells: runs with their ends, deaths, and who could not say that he lived."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from tests.faults.ledger import Event, Outcome, What

ANNOUNCEMENT, DEPENDENT = "mqjobs.root_job_stopped", "faults.after"


@dataclass
class Run:
    """One run of a processor's code. `end` is when it ended, or its process died; None: nobody ended it."""

    id: str
    process: str
    start: float
    topic: str
    message: str
    job: int | None
    root: int | None
    lease: int
    end: float | None = None
    outcome: Outcome | None = None

    @property
    def ends(self) -> float:
        """When it is over."""
        return inf if self.end is None else self.end

    @property
    def told(self) -> str:
        """It in a few words."""
        of = f"job {self.job} lease {self.lease}" if self.job else f"message {self.message}"
        return f"{of} in {self.process} at {self.start:.3f}–{self.ends:.3f} {self.outcome or ''}"


@dataclass
class Story:
    """What the ledger tells."""

    sent: list[Event] = field(default_factory=list)
    refused: int = 0
    runs: list[Run] = field(default_factory=list)
    by_job: dict[int, list[Run]] = field(default_factory=lambda: defaultdict(list))
    deaths: dict[str, float] = field(default_factory=dict)
    detached: dict[str | None, list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    retried: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    announcements: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    dependents_heard: set[str] = field(default_factory=set)
    forgotten: float = -inf
    """When the broker lost its messages, the last time."""
    acted_on: set[str] = field(default_factory=set)
    """Messages without a job of their own whose processor has returned."""

    @classmethod
    def of(cls, events: Sequence[Event]) -> "Story":
        """The story of these events, which are in order."""
        story = cls()
        runs: dict[str, Run] = {}
        for event in events:
            story._hear(event, runs)
        for run in story.runs:
            if run.end is None:
                run.end = story.deaths.get(run.process)
        return story

    def was_detached(self, run: Run, until: float) -> bool:
        """Whether the process of this run could not say that it lived, at some time from its start to then."""
        return any(
            since <= until and to >= run.start
            for process in (run.process, None)
            for since, to in self.detached[process]
        )

    def was_retried(self, before: Run, after: Run) -> bool:
        """Whether an operator asked for another run between these two."""
        asked = [*self.retried[before.job or 0], *self.retried[before.root or 0]]
        return any(before.start <= at <= after.start for at in asked)

    def has_died(self, process: str, by: float) -> bool:
        """Whether the process was dead by then."""
        return self.deaths.get(process, inf) <= by

    def _hear(self, event: Event, runs: dict[str, Run]) -> None:
        match event.what:
            case What.START:
                self._begin(event, runs)
            case What.END:
                self._end(event, runs[event.get("run")])
            case What.SENT:
                self.sent.append(event)
            case What.REFUSED:
                self.refused += 1
            case What.FORGOTTEN:
                self.forgotten = event.at
            case What.DIED:
                self.deaths[event.get("process")] = event.at
            case What.STEERED if event.get("act") == "retry":
                self.retried[event.get("job")].append(event.at)
            case _:
                self._hear_of_detachment(event)

    def _hear_of_detachment(self, event: Event) -> None:
        match event.what:
            case What.HELD_UP:
                self.detached[event.by].append((event.get("since"), event.at))
            case What.DETACHED:
                self.detached[event.get("process")].append((event.at, inf))
            case What.ATTACHED:
                spans = self.detached[event.get("process")]
                since, _ = spans.pop()
                spans.append((since, event.at))
            case _:
                pass

    def _begin(self, event: Event, runs: dict[str, Run]) -> None:
        runs[event.get("run")] = run = Run(
            id=event.get("run"),
            process=event.by,
            start=event.at,
            topic=event.get("topic"),
            message=event.get("message"),
            job=event.get("job"),
            root=event.get("root"),
            lease=event.get("lease") or 0,
        )
        self.runs.append(run)
        if run.job is not None:
            self.by_job[run.job].append(run)
        if run.topic == ANNOUNCEMENT:
            self.announcements[event.get("about")].add(run.message)
        if run.topic == DEPENDENT:
            self.dependents_heard.add(run.message)

    def _end(self, event: Event, run: Run) -> None:
        run.end, run.outcome = event.at, Outcome(event.get("outcome"))
        if run.job is None and run.outcome is Outcome.TRUE:
            self.acted_on.add(run.message)
