"""Promises 2 to 5, in any order of events: jobs in PostgreSQL do what the specification's tables say.

Rules drive the store as consumers, senders and operators would, at any moment and also too late; after each rule
the database is compared with a model that is derived from the specification alone. MQJOBS_TEST_EXAMPLES says how
many sequences of events are tried.
"""

import os
from functools import partial
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from mqjobs.model.status import JobStatus
from mqjobs.store import consumers, roots
from mqjobs.store.claims import Claim, Refused, claim_children
from tests.support import job_model_calls
from tests.support.job_bench import CRASHES_ALLOWED, open_bench
from tests.support.job_calls import bear, birth
from tests.support.job_draws import CANCELLED, CONSUMER, CONSUMERS, PICK, STALE_AFTER, chosen
from tests.support.job_model_calls import Outcome, Request
from tests.support.job_order_rules import OrderRules
from tests.support.job_race_rules import RaceRules
from tests.support.job_run_rules import CHILD_NAMES, ENDING, WAITS_FOR, RunRules
from tests.support.job_steps import in_order

EXAMPLES = int(os.environ.get("MQJOBS_TEST_EXAMPLES", "180"))
NAME = st.sampled_from(["mail", "prices"])


class JobMachine(OrderRules, RunRules, RaceRules):
    """What senders and consumers do to jobs, besides what operators order, at any moment and also too late."""

    # Births

    @rule(name=NAME, takes_over=st.booleans())
    def send(self, name: str, takes_over: bool) -> None:
        wanted, envelope = self.request(name, STALE_AFTER if takes_over else None)
        self.born(wanted, self.bench.act(bear(birth(wanted, envelope), envelope)))

    @initialize(names=CHILD_NAMES, waits_for=WAITS_FOR)
    def begin_with_a_split_job(self, names: list[str], waits_for: list[JobStatus | None]) -> None:
        self.send_and_split("mail", names, waits_for)

    @rule(name=NAME, names=CHILD_NAMES, waits_for=WAITS_FOR)
    def send_and_split(
        self, name: str, names: list[str], waits_for: list[JobStatus | None]
    ) -> None:
        """A job is born and started in a live consumer, and has delayed children and dependent messages."""
        self.beat(CONSUMERS[0])
        self.send(name, takes_over=True)
        self.the_database_agrees()
        for envelope in [each for each in self.broker if self.model.asked_for(each).own]:
            self.broker.remove(envelope)
            self.deliver([envelope], CONSUMERS[0])
        for run in [
            run for run in self.own_runs if run.counts and len(run.child.root.children) == 1
        ]:
            self.split(run, names, 0)
            self.let_wait(run, waits_for, times=1)

    @rule(name=NAME)
    def two_send_at_once(self, name: str) -> None:
        asked = [self.request(name, STALE_AFTER) for _ in range(2)]
        answers = self.bench.race([bear(birth(*each), each[1]) for each in asked])
        both = list(zip(asked, answers, strict=True))
        for (wanted, _), answer in sorted(
            both, key=lambda each: isinstance(each[1], roots.NameTaken)
        ):
            self.born(wanted, answer)

    @rule(name=NAME, consumer_id=CONSUMER)
    def run_without_a_message(self, name: str, consumer_id: UUID) -> None:
        wanted = Request(str(self.new_id()), name, None, STALE_AFTER)
        root = self.born(
            wanted, self.bench.act(partial(roots.create_root, new=birth(wanted, None)))
        )
        if root is not None:
            if consumer_id not in self.model.alive:
                self.beat(consumer_id)
            claim = self.claim(root.own, consumer_id)
            [answer] = self.bench.meet(lambda store: [store.claim(claim)])
            self.answered(root.own, claim, answer, None)

    @precondition(lambda self: self.model.roots)
    @rule(pick=PICK)
    def ask_again(self, pick: int) -> None:
        root = chosen(self.model.roots, pick)
        wanted = Request(root.owner_id, root.name, None, STALE_AFTER)
        answer = self.bench.act(partial(roots.create_root, new=birth(wanted, None)))
        assert answer == roots.RootFound(root.id, root.own.id, root.status, created=False)

    # Deliveries

    @precondition(lambda self: self.broker)
    @rule(pick=PICK, consumer_id=CONSUMER, copy=st.booleans())
    def deliver_one(self, pick: int, consumer_id: UUID, copy: bool) -> None:
        self.deliver([self.take(pick, copy=copy)], consumer_id)

    @precondition(lambda self: self.broker)
    @rule(pick=PICK, consumer_id=CONSUMER)
    def deliver_one_twice_in_a_batch(self, pick: int, consumer_id: UUID) -> None:
        self.deliver([self.take(pick)] * 2, consumer_id)

    @precondition(lambda self: self.broker)
    @rule(pick=PICK, consumer_id=CONSUMER)
    def deliver_one_twice_at_once(self, pick: int, consumer_id: UUID) -> None:
        envelope = self.take(pick)
        claims = [self.claim(self.model.asked_for(envelope), consumer_id) for _ in range(2)]
        answers = self.bench.race(
            [
                partial(claim_children, claims=[each], crashes_allowed=CRASHES_ALLOWED)
                for each in claims
            ]
        )
        first, second = in_order([answer for [answer] in answers])
        for at in (first, second):
            [answer] = answers[at]
            self.answered(self.model.asked_for(envelope), claims[at], answer, envelope)

    @precondition(lambda self: self.broker)
    @rule(consumer_id=CONSUMER)
    def deliver_all(self, consumer_id: UUID) -> None:
        envelopes, self.broker = self.broker, []
        self.deliver(envelopes, consumer_id)

    @rule(consumer_id=CONSUMER)
    def claim_what_is_no_child(self, consumer_id: UUID) -> None:
        ids = [10**9, *(root.id for root in self.model.roots)]
        claims = [Claim(job_id, self.new_id(), consumer_id) for job_id in ids]
        answers = self.bench.meet(lambda store: [store.claim(each) for each in claims])
        assert answers == [Refused(None)] * len(ids)

    # Consumers

    @precondition(lambda self: any(self.model.is_held(run.child) for run in self.runs))
    @rule(
        pick=PICK,
        interrupted=st.sampled_from([False, False, True]),
        returned=st.booleans(),
        then=st.sampled_from(["reap", "deliver_all", None]),
    )
    def fall_silent(self, pick: int, interrupted: bool, returned: bool, then: str | None) -> None:
        """A heartbeat expires; the code may go on, and the broker may give its messages to others."""
        run = chosen([run for run in self.runs if self.model.is_held(run.child)], pick)
        consumer_id = run.consumer_id
        if interrupted:
            self.interrupt(run.child.root)
        self.bench.silence(consumer_id)
        self.model.alive.discard(consumer_id)
        if returned:
            mine = [run for run in self.runs if run.consumer_id == consumer_id]
            self.broker += [run.envelope for run in mine if run.envelope]
        if then == "reap":
            self.reap()
        elif then == "deliver_all":
            self.deliver_all(chosen(CONSUMERS, pick))

    @precondition(lambda self: len(self.model.alive) < len(CONSUMERS))
    @rule(pick=PICK)
    def beat_again(self, pick: int) -> None:
        """Late, or after it was forgotten; then it begins anew, and its code goes on for a while."""
        self.beat(chosen([each for each in CONSUMERS if each not in self.model.alive], pick))

    @precondition(lambda self: self.model.known != self.model.alive)
    @rule()
    def reap(self) -> None:
        reaped = self.bench.act(partial(consumers.reap, crashes_allowed=CRASHES_ALLOWED))
        assert reaped == job_model_calls.reap(self.model)

    @precondition(lambda self: any(not run.counts or run.child.interrupted for run in self.runs))
    @rule(pick=PICK)
    def look_after(self, pick: int) -> None:
        """A consumer hears what to stop, and does; code that is stopped finishes so."""
        stopped = [run for run in self.runs if not run.counts or run.child.interrupted]
        consumer_id = chosen(stopped, pick).consumer_id
        latest = {run.child.id: run for run in self.runs if run.consumer_id == consumer_id}
        leases = {job_id: run.lease for job_id, run in latest.items()}
        told = self.bench.act(partial(consumers.look_after, leases=leases))
        assert told == job_model_calls.look_after(list(latest.values()))
        for run in latest.values():
            if (run.child.id, run.lease) in told:
                self.finish((run, CANCELLED))

    # Time

    @rule(seconds=st.sampled_from([10.0, 60.0, 2000.0, 2000.0]))
    def pass_time(self, seconds: float) -> None:
        self.let_time_pass(seconds)

    @precondition(lambda self: any(not root.has_ended for root in self.model.roots))
    @rule(pick=PICK, outcome=ENDING)
    def work_off_one(self, pick: int, outcome: Outcome) -> None:
        root = chosen([root for root in self.model.roots if not root.has_ended], pick)
        self.work_off(root, outcome)


@pytest.mark.timeout(600 + 2 * EXAMPLES)
def test_jobs_do_what_the_specification_says_in_any_order_of_events(database_url: str) -> None:
    with open_bench(database_url) as opened:

        class Machine(JobMachine):
            bench = opened

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=50,
                deadline=None,
                database=None,
                print_blob=True,
                report_multiple_bugs=False,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
