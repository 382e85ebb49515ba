"""The rules of calls that overtake each other: one looks around before another, that came first, has committed."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mqjobs.model.status import JobStatus
from tests.support.job_draws import FAILED, OUTCOME, PICK, STALE_AFTER, chosen
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
from tests.support.job_steps import JobSteps

RETRY: st.SearchStrategy[MakeStep] = st.sampled_from([retry_child, retry_root, send])
INTERRUPT: st.SearchStrategy[MakeStep] = st.sampled_from(
    [interrupt_child, interrupt_root, cancel_if_new]
)
RUN: st.SearchStrategy[MakeStep] = st.sampled_from([claim, finish])
STEP = RETRY | INTERRUPT | RUN | st.just(reap)


class RaceRules(JobSteps):
    """Two calls about one root: the second begins before the first has committed, and follows it all the same."""

    @precondition(lambda self: self.open)
    @rule(pick=PICK, other=PICK, first=STEP, second=STEP, outcome=OUTCOME)
    def overtake(
        self, pick: int, other: int, first: MakeStep, second: MakeStep, outcome: Outcome
    ) -> None:
        child = chosen(self.open, pick)
        sibling = chosen(child.root.children, other)
        self.follow(first(self, child, outcome), second(self, sibling, outcome))

    @precondition(lambda self: self.open)
    @rule(pick=PICK, other=PICK, first=RUN, second=INTERRUPT, outcome=OUTCOME)
    def overtake_an_interrupt(
        self, pick: int, other: int, first: MakeStep, second: MakeStep, outcome: Outcome
    ) -> None:
        new = [child for child in self.open if child.root.status is JobStatus.NEW]
        child = chosen(new or self.open, pick)
        sibling = chosen(child.root.open_children, other)
        self.follow(first(self, child, outcome), second(self, sibling, outcome))

    @precondition(lambda self: self.open)
    @rule(pick=PICK, first=st.just(send) | RUN | STEP, outcome=OUTCOME)
    def overtake_a_takeover(self, pick: int, first: MakeStep, outcome: Outcome) -> None:
        child = chosen(self.open, pick)
        self.let_time_pass(2 * STALE_AFTER.total_seconds())
        self.follow(first(self, child, outcome), send(self, child, outcome))

    @precondition(lambda self: self.failed)
    @rule(pick=PICK, first=RETRY, second=RETRY)
    def overtake_a_retry(self, pick: int, first: MakeStep, second: MakeStep) -> None:
        child = chosen(self.failed, -1 - pick)
        self.follow(first(self, child, FAILED), second(self, child, FAILED))

    @precondition(lambda self: self.orphans)
    @rule(pick=PICK, other=PICK, first=RUN, outcome=OUTCOME)
    def overtake_the_reaper(self, pick: int, other: int, first: MakeStep, outcome: Outcome) -> None:
        orphan = chosen(self.orphans, pick)
        child = chosen([orphan, orphan, *orphan.root.open_children], other)
        self.follow(first(self, child, outcome), reap(self, orphan, outcome))

    @property
    def open(self) -> list[Child]:
        return [child for root in self.model.roots for child in root.open_children]

    @property
    def failed(self) -> list[Child]:
        return [child for child in self.model.children if child.status is JobStatus.FAILED]

    @property
    def orphans(self) -> list[Child]:
        running = [child for child in self.open if child.status is JobStatus.RUNNING]
        return [child for child in running if not self.model.is_held(child)]

    def follow(self, first: Step, second: Step) -> None:
        answers = self.bench.overtake(first.call, second.call)
        first.settle(answers[0])
        second.settle(answers[1])
