"""The rules of code that runs: how it ends, what it creates and reports, in time and too late."""

from collections.abc import Sequence
from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mqjobs.model.status import JobStatus
from mqjobs.store import children
from mqjobs.store.finishes import finish_children
from tests.support import job_model_calls
from tests.support.job_bench import AFTER
from tests.support.job_calls import own_run, written
from tests.support.job_draws import FAILED, OUTCOME, PICK, SUCCESS, chosen
from tests.support.job_model import Dependent, Run
from tests.support.job_model_calls import Outcome
from tests.support.job_steps import JobSteps

PICKS = st.lists(PICK, min_size=1, max_size=4)
DELAY = st.sampled_from([0.0, 0.0, 0.0, 60.0])
CHILD_NAMES = st.lists(st.sampled_from("abcde"), min_size=1, max_size=6)
ENDING = st.sampled_from([SUCCESS, FAILED])
END = st.sampled_from([None, JobStatus.SUCCESS, JobStatus.FAILED])
WAITS_FOR = st.lists(END, min_size=1, max_size=3)


class RunRules(JobSteps):
    """What code does that holds a lease, or believes that it does."""

    @precondition(lambda self: self.runs)
    @rule(pick=PICK, outcome=OUTCOME)
    def finish_one(self, pick: int, outcome: Outcome) -> None:
        self.finish((chosen(self.runs, pick), outcome))

    @precondition(lambda self: self.runs)
    @rule(picks=PICKS, outcome=OUTCOME)
    def finish_some_in_a_batch(self, picks: list[int], outcome: Outcome) -> None:
        some = dict.fromkeys(chosen(self.runs, pick) for pick in picks)
        self.finish(*((run, outcome) for run in some))

    @precondition(lambda self: self.runs)
    @rule(outcome=ENDING)
    def finish_all_at_once(self, outcome: Outcome) -> None:
        endings = [(run, outcome) for run in self.runs]
        answers = self.bench.race(
            [partial(finish_children, runs=[written(*each)]) for each in endings]
        )
        self.ended(endings, [answer for [answer] in answers])

    @precondition(lambda self: any(not run.counts for run in self.runs))
    @rule(late=OUTCOME, outcome=OUTCOME)
    def finish_a_job_with_all_its_runs(self, late: Outcome, outcome: Outcome) -> None:
        child = next(run.child for run in self.runs if not run.counts)
        runs = [run for run in self.runs if run.child is child]
        self.finish(*((run, outcome if run.counts else late) for run in runs))

    @precondition(lambda self: self.finished)
    @rule(pick=PICK)
    def finish_again_as_before(self, pick: int) -> None:
        self.finish(chosen(self.finished, -1 - pick))

    @precondition(lambda self: self.own_runs)
    @rule(pick=PICK, late=st.booleans(), names=CHILD_NAMES, delay=DELAY)
    def create_children(self, pick: int, late: bool, names: list[str], delay: float) -> None:
        self.split(some_run(self.own_runs, pick, late=late), names, delay)

    @precondition(lambda self: self.own_runs)
    @rule(pick=PICK, late=st.booleans(), waits_for=WAITS_FOR, twice=st.booleans())
    def add_dependents(
        self, pick: int, late: bool, waits_for: list[JobStatus | None], twice: bool
    ) -> None:
        run = some_run(self.own_runs, pick, late=late)
        self.let_wait(run, waits_for, times=1 + twice)

    @precondition(lambda self: self.runs)
    @rule(pick=PICK, late=st.booleans(), progress=st.sampled_from([None, 0, 0.25, 0.5]))
    def report(self, pick: int, late: bool, progress: float | None) -> None:
        self.tell(some_run(self.runs, pick, late=late), progress)

    @precondition(lambda self: any(not run.counts for run in self.runs))
    @rule(pick=PICK, names=CHILD_NAMES, waits_for=WAITS_FOR, outcome=OUTCOME)
    def go_on_too_late(
        self, pick: int, names: list[str], waits_for: list[JobStatus | None], outcome: Outcome
    ) -> None:
        """A run that has lost its lease does all that a run can do."""
        run = some_run(self.runs, pick, late=True)
        if run.child.own:
            self.split(run, names, 0)
            self.let_wait(run, waits_for, times=1)
        self.tell(run, 0.75)
        self.finish((run, outcome))

    def let_wait(self, run: Run, waits_for: list[JobStatus | None], times: int) -> None:
        """The run adds dependent messages that wait for these ends, so many times the same."""
        new = [children.Dependent(self.envelope(AFTER), on) for on in waits_for]
        known = [Dependent(each.envelope.id, each.on) for each in new]
        add = partial(children.add_dependents, run=own_run(run), dependents=new)
        for _ in range(times):
            self.same(
                lambda: self.bench.act(add), lambda: job_model_calls.add_dependents(run, known)
            )

    def tell(self, run: Run, progress: float | None) -> None:
        write = partial(
            children.report,
            job_id=run.child.id,
            lease=run.lease,
            progress=progress,
            data={"note": "so far"},
            max_bytes=10_000,
        )
        self.same(
            lambda: self.bench.act(write), lambda: job_model_calls.report(self.model, run, progress)
        )


def some_run(runs: Sequence[Run], pick: int, *, late: bool) -> Run:
    """One of them; with `late` one that lost its lease, if there is any."""
    lost = [run for run in runs if not run.counts]
    return chosen(lost if late and lost else runs, pick)
