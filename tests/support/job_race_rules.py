"""The rules of calls that overtake each other: one looks around before another, that came first, has committed."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mqjobs.model.status import JobStatus
from tests.support.job_draws import FAILED, OUTCOME, PICK
from tests.support.job_model import Child
from tests.support.job_model_calls import Outcome
from tests.support.job_overtaking import (
    MakeStep,
    Step,
    cancel_if_new,
    claim,
    finish,
    interrupt_child,
    interrupt_root,
    reap,
    retry_child,
    retry_root,
    send,
)
from tests.support.job_steps import JobSteps, chosen

RETRY: st.SearchStrategy[MakeStep] = st.sampled_from([retry_child, retry_root, send])
INTERRUPT: st.SearchStrategy[MakeStep] = st.sampled_from(
    [interrupt_child, interrupt_root, cancel_if_new]
)
RUN: st.SearchStrategy[MakeStep] = st.sampled_from([claim, finish, finish, reap])
STEP = RETRY | INTERRUPT | RUN


class RaceRules(JobSteps):
    """Two calls about one root: the second begins before the first has committed, and follows it all the same."""

    @precondition(lambda self: self.model.roots)
    @rule(pick=PICK, first=STEP, second=STEP, outcome=OUTCOME)
    def overtake(self, pick: int, first: MakeStep, second: MakeStep, outcome: Outcome) -> None:
        root = chosen(self.model.roots, -1 - pick % 3)
        self.follow(first(self, root, pick, outcome), second(self, root, pick + 1, outcome))

    @precondition(lambda self: self.failed)
    @rule(pick=PICK, first=RETRY, second=RETRY)
    def overtake_a_retry(self, pick: int, first: MakeStep, second: MakeStep) -> None:
        child = chosen(self.failed, -1 - pick)
        at = child.root.children.index(child)
        self.follow(first(self, child.root, at, FAILED), second(self, child.root, at, FAILED))

    @precondition(lambda self: self.orphans)
    @rule(pick=PICK, first=STEP, outcome=OUTCOME)
    def overtake_the_reaper(self, pick: int, first: MakeStep, outcome: Outcome) -> None:
        child = chosen(self.orphans, pick)
        at = child.root.children.index(child)
        self.follow(first(self, child.root, at, outcome), reap(self, child.root, at, outcome))

    @property
    def failed(self) -> list[Child]:
        return [child for child in self.model.children if child.status is JobStatus.FAILED]

    @property
    def orphans(self) -> list[Child]:
        running = [child for child in self.model.children if child.status is JobStatus.RUNNING]
        return [child for child in running if not self.model.is_held(child)]

    def follow(self, first: Step, second: Step) -> None:
        answers = self.bench.overtake(first.call, second.call)
        first.settle(answers[0])
        second.settle(answers[1])
