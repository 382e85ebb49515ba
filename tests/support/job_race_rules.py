"""The rules of calls that overtake each other: one looks around before another, that came first, has committed."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mqjobs.model.status import JobStatus
from tests.support.job_draws import FAILED, OUTCOME, PICK, STALE_AFTER, chosen
from tests.support.job_model import Child, Root
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
from tests.support.job_steps import JobSteps

RETRY: st.SearchStrategy[MakeStep] = st.sampled_from([retry_child, retry_root, send])
INTERRUPT: st.SearchStrategy[MakeStep] = st.sampled_from(
    [interrupt_child, interrupt_root, cancel_if_new]
)
RUN: st.SearchStrategy[MakeStep] = st.sampled_from([claim, finish])
STEP = RETRY | INTERRUPT | RUN | st.just(reap)


class RaceRules(JobSteps):
    """Two calls about one root: the second begins before the first has committed, and follows it all the same."""

    @precondition(lambda self: self.active)
    @rule(pick=PICK, first=STEP, second=STEP, outcome=OUTCOME)
    def overtake(self, pick: int, first: MakeStep, second: MakeStep, outcome: Outcome) -> None:
        root = chosen(self.active, pick)
        self.follow(first(self, root, pick, outcome), second(self, root, pick + 1, outcome))

    @precondition(lambda self: self.active)
    @rule(pick=PICK, first=RUN | INTERRUPT, second=INTERRUPT, outcome=OUTCOME)
    def overtake_an_interrupt(
        self, pick: int, first: MakeStep, second: MakeStep, outcome: Outcome
    ) -> None:
        new = [root for root in self.active if root.status is JobStatus.NEW]
        root = chosen(new or self.active, pick)
        self.follow(first(self, root, pick, outcome), second(self, root, pick, outcome))

    @precondition(lambda self: self.active)
    @rule(pick=PICK, first=RUN | STEP, outcome=OUTCOME)
    def overtake_a_takeover(self, pick: int, first: MakeStep, outcome: Outcome) -> None:
        root = chosen(self.active, pick)
        self.let_time_pass(2 * STALE_AFTER.total_seconds())
        self.follow(first(self, root, pick, outcome), send(self, root, pick, outcome))

    @precondition(lambda self: self.failed)
    @rule(pick=PICK, first=RETRY, second=RETRY)
    def overtake_a_retry(self, pick: int, first: MakeStep, second: MakeStep) -> None:
        child = chosen(self.failed, -1 - pick)
        at = child.root.children.index(child)
        self.follow(first(self, child.root, at, FAILED), second(self, child.root, at, FAILED))

    @precondition(lambda self: self.orphans)
    @rule(pick=PICK, first=RUN | STEP, outcome=OUTCOME)
    def overtake_the_reaper(self, pick: int, first: MakeStep, outcome: Outcome) -> None:
        child = chosen(self.orphans, pick)
        at = child.root.children.index(child)
        self.follow(first(self, child.root, at, outcome), reap(self, child.root, at, outcome))

    @property
    def active(self) -> list[Root]:
        return [root for root in self.model.roots if not root.has_ended]

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
