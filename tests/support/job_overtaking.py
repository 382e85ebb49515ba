"""Calls as steps that can be put side by side: what is asked, and what holds the answer against the model's."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mqjobs.store import consumers, interrupts, retries
from mqjobs.store.claims import claim_children
from mqjobs.store.finishes import finish_children
from tests.support import job_model_calls, job_model_orders
from tests.support.job_bench import CRASHES_ALLOWED, Call
from tests.support.job_calls import bear, birth, possible, written
from tests.support.job_draws import STALE_AFTER
from tests.support.job_model import Child
from tests.support.job_model_calls import Outcome
from tests.support.job_steps import JobSteps, answer_of


@dataclass(frozen=True)
class Step:
    """A call, and what holds its answer against the model's."""

    call: Call[Any]
    settle: Callable[[Any], None]


MakeStep = Callable[[JobSteps, Child, Outcome], Step]
"""Makes a step about a child or its root."""


def send(machine: JobSteps, child: Child, outcome: Outcome) -> Step:
    wanted, envelope = machine.request(child.root.name, STALE_AFTER)

    def settle(answer: Any) -> None:
        machine.born(wanted, answer)

    return Step(bear(birth(wanted, envelope), envelope), settle)


def claim(machine: JobSteps, child: Child, outcome: Outcome) -> Step:
    wanted = machine.claim(child, machine.live_consumer(besides=child.run))

    def settle(answers: Any) -> None:
        machine.answered(child, wanted, answers[0], None)

    call = partial(claim_children, claims=[wanted], crashes_allowed=CRASHES_ALLOWED)
    return Step(call, settle)


def finish(machine: JobSteps, child: Child, outcome: Outcome) -> Step:
    """The child's newest run, or another of its root, comes to that; where nothing runs, the child is interrupted."""
    runs = [run for run in machine.runs if run.child.root is child.root]
    if not runs:
        return interrupt_child(machine, child, outcome)
    run = max(runs, key=lambda each: (each.child is child, each.counts, each.lease))
    ending = (run, possible(run, outcome))

    def settle(answers: Any) -> None:
        machine.ended([ending], answers)

    return Step(partial(finish_children, runs=[written(*ending)]), settle)


def interrupt_root(machine: JobSteps, child: Child, outcome: Outcome) -> Step:
    call = partial(interrupts.interrupt, job_id=child.root.id)
    return Step(call, same_as(lambda: job_model_orders.interrupt_root(machine.model, child.root)))


def interrupt_child(machine: JobSteps, child: Child, outcome: Outcome) -> Step:
    call = partial(interrupts.interrupt, job_id=child.id)
    return Step(call, same_as(lambda: job_model_orders.interrupt_child(machine.model, child)))


def cancel_if_new(machine: JobSteps, child: Child, outcome: Outcome) -> Step:
    call = partial(interrupts.cancel_if_new, owner_id=child.root.owner_id)
    return Step(
        call, same_as(lambda: job_model_orders.cancel_if_new(machine.model, child.root.owner_id))
    )


def retry_root(machine: JobSteps, child: Child, outcome: Outcome) -> Step:
    call = partial(retries.retry, job_id=child.root.id)
    return Step(call, same_as(lambda: job_model_orders.retry_root(machine.model, child.root)))


def retry_child(machine: JobSteps, child: Child, outcome: Outcome) -> Step:
    call = partial(retries.retry, job_id=child.id)
    return Step(call, same_as(lambda: job_model_orders.retry_child(machine.model, child)))


def reap(machine: JobSteps, child: Child, outcome: Outcome) -> Step:
    call = partial(consumers.reap, crashes_allowed=CRASHES_ALLOWED)
    return Step(call, same_as(lambda: job_model_calls.reap(machine.model)))


def same_as(expected: Callable[[], object]) -> Callable[[Any], None]:
    def settle(answer: Any) -> None:
        assert answer == answer_of(expected)

    return settle
