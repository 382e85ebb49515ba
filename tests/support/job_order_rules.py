"""The rules of operators: interrupts, cancellations and retries, of what runs, waits or has ended."""

from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mqjobs.model.status import JobStatus
from mqjobs.store import interrupts, retries
from tests.support import job_model_orders
from tests.support.job_draws import FAILED, PICK, SUCCESS, chosen
from tests.support.job_model import Child, Root
from tests.support.job_model_calls import Outcome
from tests.support.job_steps import JobSteps


class OrderRules(JobSteps):
    """What operators order; open jobs and ended ones alike."""

    @precondition(lambda self: self.model.roots)
    @rule(pick=PICK, only_open=st.booleans())
    def interrupt_root(self, pick: int, only_open: bool) -> None:
        self.interrupt(self.some_root(pick, only_open=only_open))

    @precondition(lambda self: self.model.roots)
    @rule(pick=PICK, only_open=st.booleans())
    def interrupt_child(self, pick: int, only_open: bool) -> None:
        child = self.some_child(pick, only_open=only_open)
        answer = self.bench.act(partial(interrupts.interrupt, job_id=child.id))
        assert answer is job_model_orders.interrupt_child(self.model, child)

    @precondition(lambda self: any(root.own.status is JobStatus.NEW for root in self.model.roots))
    @rule(pick=PICK, only_open=st.booleans())
    def cancel_if_new(self, pick: int, only_open: bool) -> None:
        owner_id = self.some_root(pick, only_open=only_open).owner_id
        cancelled = self.bench.act(partial(interrupts.cancel_if_new, owner_id=owner_id))
        assert cancelled == job_model_orders.cancel_if_new(self.model, owner_id)

    @precondition(lambda self: any(child.ends for child in self.model.children))
    @rule(pick=PICK, only_failed=st.booleans(), then=st.sampled_from([None, SUCCESS, FAILED]))
    def retry_root(self, pick: int, only_failed: bool, then: Outcome | None) -> None:
        """Then its children wait, or they run and come to this end."""
        failed = [child.root for child in self.model.children if child.status is JobStatus.FAILED]
        root = chosen(failed if only_failed and failed else self.model.roots, -1 - pick)
        self.same(
            lambda: self.bench.act(partial(retries.retry, job_id=root.id)),
            lambda: job_model_orders.retry_root(self.model, root),
        )
        if then is not None and not root.has_ended:
            self.the_database_agrees()
            self.work_off(root, then)

    @precondition(lambda self: any(child.ends for child in self.model.children))
    @rule(pick=PICK, only_ended=st.booleans())
    def retry_child(self, pick: int, only_ended: bool) -> None:
        ended = [child for child in self.model.children if child.status.is_terminal]
        child = chosen(ended if only_ended and ended else self.model.children, -1 - pick)
        self.same(
            lambda: self.bench.act(partial(retries.retry, job_id=child.id)),
            lambda: job_model_orders.retry_child(self.model, child),
        )

    def interrupt(self, root: Root) -> None:
        answer = self.bench.act(partial(interrupts.interrupt, job_id=root.id))
        assert answer is job_model_orders.interrupt_root(self.model, root)

    def some_root(self, pick: int, *, only_open: bool) -> Root:
        """One of the newest."""
        active = [root for root in self.model.roots if not root.has_ended]
        return chosen(active if only_open and active else self.model.roots, -1 - pick)

    def some_child(self, pick: int, *, only_open: bool) -> Child:
        """One of the newest."""
        opened = [child for root in self.model.roots for child in root.open_children]
        return chosen(opened if only_open and opened else self.model.children, -1 - pick)
