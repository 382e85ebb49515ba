"""The steps that rules are made of: each asks the store, asks the model, and compares the answers."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from typing import TypeVar
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine, invariant

from mqjobs.model.errors import MqjobsError
from mqjobs.model.message import Envelope
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.store import children, consumers
from mqjobs.store.claims import Answer, Claim, Granted, NotAlive, Refused
from mqjobs.store.messages import insert_messages
from mqjobs.store.roots import NameTaken, RootFound
from tests.support import job_checks, job_model_calls
from tests.support.job_bench import ALIVE_FOR, CHILD, CRASHES_ALLOWED, OWN, Bench, Rows, a_consumer
from tests.support.job_calls import own_run, possible, written
from tests.support.job_draws import CONSUMERS, chosen
from tests.support.job_model import Asks, Child, JobModel, Root, Run
from tests.support.job_model_calls import Outcome, Request

SomeT = TypeVar("SomeT")

SENT_AT = datetime(2030, 1, 1, tzinfo=UTC)
PARKED_FOR = timedelta(seconds=5)


class JobSteps(RuleBasedStateMachine):
    """The database, the model, what the broker carries, and the code that runs or believes that it does."""

    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.model = JobModel(CRASHES_ALLOWED)
        self.broker: list[Envelope] = []
        self.runs: list[Run] = []
        self.finished: list[tuple[Run, Outcome]] = []
        self._ids = 100
        self._leases: set[tuple[int, int]] = set()
        self._moments = job_checks.Moments()
        self._before: Rows | None = None
        self.model.known = set(CONSUMERS)
        self.model.alive = set(CONSUMERS)
        self.bench.begin(CONSUMERS)

    @invariant()
    def the_database_agrees(self) -> None:
        rows = self.bench.look()
        assert rows.repairs == [], "a healthy run has nothing to repair"
        job_checks.no_name_has_two_active_roots(rows)
        job_checks.roots_follow_their_children(rows)
        job_checks.only_a_retry_leads_out_of_an_end(self._before, rows)
        job_checks.no_lease_has_two_holders(rows, self.runs)
        job_checks.children_agree(rows, self.model)
        job_checks.roots_agree(rows, self.model)
        job_checks.messages_agree(rows, self.model)
        job_checks.dependents_agree(rows, self.model)
        due = [each for each in rows.due if each.topic in {OWN, CHILD}]
        self.broker += sorted(due, key=lambda each: each.id)
        job_checks.nothing_is_stuck(self.model, self.broker, self.runs)
        self._moments.check(rows, self.model)
        self._before = rows

    @property
    def own_runs(self) -> list[Run]:
        return [run for run in self.runs if run.child.own]

    def new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=self._ids)

    def envelope(self, topic: str, *, job_id: int | None = None, delay: float = 0) -> Envelope:
        return Envelope(
            self.new_id(),
            topic,
            b"{}",
            Priority.NORMAL,
            SENT_AT,
            job_id=job_id,
            delay=timedelta(seconds=delay),
        )

    # Births

    def request(self, name: str, stale_after: timedelta | None) -> tuple[Request, Envelope]:
        envelope = self.envelope(OWN)
        return Request(str(envelope.id), name, Asks(envelope.id, None), stale_after), envelope

    def born(self, wanted: Request, answer: RootFound | NameTaken) -> Root | None:
        """The root that the store answers with is the one that the model makes; None: both say that it is taken."""
        blocker = job_model_calls.in_the_way(self.model, wanted)
        if blocker is not None:
            assert answer == NameTaken(blocker.id)
            return None
        assert isinstance(answer, RootFound)
        assert (answer.status, answer.created) == (JobStatus.NEW, True)
        root = job_model_calls.create_root(self.model, wanted, answer.id, answer.own_child_id)
        if wanted.message is not None:
            self.model.post(wanted.message)
        return root

    # Claims

    def take(self, pick: int, *, copy: bool = False) -> Envelope:
        """A message that the broker delivers; with `copy` it will deliver it again."""
        envelope = chosen(self.broker, pick)
        if not copy:
            self.broker.remove(envelope)
        return envelope

    def deliver(self, envelopes: Sequence[Envelope], consumer_id: UUID) -> None:
        """The consumer claims what these messages ask for, all at once; of the claims of a child one is granted."""
        claims = [self.claim(self.model.asked_for(each), consumer_id) for each in envelopes]
        answers = self.bench.meet(lambda store: [store.claim(claim) for claim in claims])
        claimed = set()
        for at in in_order(answers):
            child = self.model.asked_for(envelopes[at])
            if child in claimed:
                self.refused(child, claims[at], answers[at], envelopes[at])
            else:
                self.answered(child, claims[at], answers[at], envelopes[at])
            claimed.add(child)

    def claim(self, child: Child, consumer_id: UUID) -> Claim:
        return Claim(child.id, self.new_id(), consumer_id)

    def answered(
        self, child: Child, claim: Claim, answer: Answer, envelope: Envelope | None
    ) -> None:
        """A granted claim runs, a refused message is parked or settled, and the model says which."""
        may_claim = job_model_calls.may_claim(self.model, child, claim.consumer_id)
        assert isinstance(answer, Granted) == may_claim, answer
        if isinstance(answer, Granted):
            assert answer.job.id == child.id
            assert (child.id, answer.job.lease) not in self._leases, "a lease was given twice"
            self._leases.add((child.id, answer.job.lease))
            run = Run(child, answer.job.lease, claim.consumer_id, envelope)
            job_model_calls.claim(self.model, run)
            self.runs.append(run)
        else:
            self.refused(child, claim, answer, envelope)

    def refused(
        self, child: Child, claim: Claim, answer: Answer, envelope: Envelope | None
    ) -> None:
        may_wait = claim.consumer_id not in self.model.alive and not child.status.is_terminal
        assert isinstance(answer, NotAlive if may_wait else Refused)
        if isinstance(answer, Refused):
            assert answer.job is not None
            assert (answer.job.id, answer.job.status) == (child.id, child.status)
        if envelope is not None and (may_wait or child.status is JobStatus.RUNNING):
            self.park(envelope)

    def park(self, envelope: Envelope) -> None:
        again = envelope.again(envelope.queue or "", PARKED_FOR, attempt=envelope.attempt)
        self.bench.act(partial(insert_messages, envelopes=[again]))
        self.model.post(Asks(envelope.id, envelope.job_id), PARKED_FOR.total_seconds())

    # Runs

    def finish(self, *endings: tuple[Run, Outcome]) -> None:
        """The runs end like this, all at once, and each is answered what the model says."""
        endings = tuple((run, possible(run, outcome)) for run, outcome in endings)
        given = [written(run, outcome) for run, outcome in endings]
        answers = self.bench.meet(lambda store: [store.finish(each) for each in given])
        self.ended(endings, answers)

    def ended(
        self, endings: Sequence[tuple[Run, Outcome]], answers: Sequence[JobStatus | None]
    ) -> None:
        expected = [job_model_calls.finish(self.model, run, outcome) for run, outcome in endings]
        assert list(answers) == expected, endings
        for run, outcome in endings:
            if run in self.runs:
                self.runs.remove(run)
                self.finished.append((run, outcome))

    def split(self, run: Run, names: Sequence[str], delay: float) -> None:
        """The run creates delayed children of these names."""
        ids = self.bench.act(partial(children.reserve_ids, count=len(names)))
        envelopes = [self.envelope(CHILD, job_id=job_id, delay=delay) for job_id in ids]
        new = [
            children.NewChild(name, envelope)
            for name, envelope in zip(names, envelopes, strict=True)
        ]
        wanted = [
            (job_id, name, envelope.id)
            for job_id, name, envelope in zip(ids, names, envelopes, strict=True)
        ]
        create = partial(children.create_children, run=own_run(run), children=new)
        self.same(
            lambda: self.bench.act(create),
            lambda: job_model_calls.create_children(self.model, run, wanted, delay),
        )

    def work_off(self, root: Root, outcome: Outcome) -> None:
        """A live consumer takes every message of a root that it can get, and ends what runs."""
        mine = [each for each in self.broker if self.model.asked_for(each).root is root]
        self.broker = [each for each in self.broker if each not in mine]
        self.beat(CONSUMERS[0])
        self.deliver(mine, CONSUMERS[0])
        self.finish(*((run, outcome) for run in self.runs if run.child.root is root))

    # Consumers

    def live_consumer(self, besides: Run | None) -> UUID:
        """A consumer that is alive, if need be because it beats now; not the one of this run."""
        others = [each for each in CONSUMERS if besides is None or each != besides.consumer_id]
        if not self.model.alive.intersection(others):
            self.beat(others[0])
        return next(each for each in others if each in self.model.alive)

    def beat(self, consumer_id: UUID) -> None:
        beat = partial(consumers.beat, consumer_id=consumer_id, alive_for=ALIVE_FOR)
        now = self.bench.act(beat)
        assert (now is not None) == (consumer_id in self.model.known)
        if now is None:
            info = a_consumer(consumer_id)
            self.bench.act(partial(consumers.register, consumer=info, alive_for=ALIVE_FOR))
        self.model.known.add(consumer_id)
        self.model.alive.add(consumer_id)

    # Time and answers

    def let_time_pass(self, seconds: float) -> None:
        self.bench.pass_time(seconds)
        self.model.pass_time(seconds)

    def same(self, real: Callable[[], SomeT], model: Callable[[], SomeT]) -> None:
        """Both answer the same, or both raise the same error."""
        assert answer_of(real) == answer_of(model)


def answer_of(call: Callable[[], SomeT]) -> SomeT | type[MqjobsError]:
    try:
        return call()
    except MqjobsError as error:
        return type(error)


def in_order(answers: Sequence[Answer]) -> list[int]:
    """Where the answers stand that were granted, one lease after the other, and then the refused ones."""

    def lease(at: int) -> float:
        answer = answers[at]
        return answer.job.lease if isinstance(answer, Granted) else inf

    return sorted(range(len(answers)), key=lease)
