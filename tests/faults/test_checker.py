"""The checker finds each kind of harm in a made-up ledger, and none in an honest one."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.checker import FORBIDDEN, Findings, check
from tests.faults.ledger import Event, Outcome, What
from tests.faults.records import DependentRecord, JobRecord, Records

ROOT, OWN, CHILD = 1, 2, 3
A, B = "consumer-1.11", "consumer-2.22"

RECORDS = Records(
    jobs=(
        JobRecord(ROOT, None, "tree", "success", 0, stopped=20.0),
        JobRecord(OWN, ROOT, "tree", "success", 1, stopped=11.0),
        JobRecord(CHILD, ROOT, "leaf", "success", 1, stopped=20.0),
    ),
    dependents=(DependentRecord(7, ROOT, "dependent", None, is_sent=True),),
    ends=Counter({ROOT: 1}),
    releases=Counter({7: 1}),
)


class Told:
    """A made-up ledger."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._runs = 0

    def tell(self, at: float, what: What, by: str = "runner.1", **fields: Any) -> None:
        """An event."""
        self.events.append(Event(at, by, what, fields))

    def run(
        self,
        start: float,
        end: float | None,
        by: str = A,
        outcome: Outcome = Outcome.TRUE,
        **fields: Any,
    ) -> None:
        """A run; without an end, where its process died or it never came to one."""
        self._runs += 1
        self.tell(start, What.START, by, run=self._runs, **fields)
        if end is not None:
            self.tell(end, What.END, by, run=self._runs, outcome=outcome)

    def job(
        self,
        start: float,
        end: float | None,
        by: str = A,
        outcome: Outcome = Outcome.TRUE,
        *,
        job: int = CHILD,
        lease: int = 1,
    ) -> None:
        """A run of a job."""
        self.run(
            start, end, by, outcome, topic="leaf", message=f"of {job}", job=job, lease=lease, root=1
        )

    def heard(self, message: str = "announcement", topic: str = "mqjobs.root_job_stopped") -> None:
        """Somebody heard of the root's end."""
        self.run(21, 22, B, topic=topic, message=message, about=ROOT)

    def checked(self, records: Records = RECORDS) -> Findings:
        """What the checker makes of it."""
        return check(sorted(self.events, key=lambda event: event.at), records)


def without_child_runs() -> Told:
    """A root that was sent, split, ended and told of."""
    told = Told()
    told.tell(1, What.SENDING, "load.5", send=1)
    told.tell(2, What.SENT, "load.5", send=1, message="m", job=ROOT, blocked_by=None)
    told.job(10, 11, job=OWN)
    told.heard()
    told.heard("dependent", "faults.after")
    return told


@pytest.fixture
def told() -> Told:
    """The same, and nothing yet of its child."""
    return without_child_runs()


def found(findings: Findings) -> set[str]:
    """What was found that is forbidden."""
    return {name for name, each in findings.forbidden.items() if each}


def job(records: Records, job_id: int, **changes: Any) -> Records:
    """The records with one job changed."""
    changed = tuple(
        replace(each, **changes) if each.id == job_id else each for each in records.jobs
    )
    return replace(records, jobs=changed)


def test_a_run_that_begins_and_ends_once_is_what_should_be(told: Told) -> None:
    told.job(12, 19)

    findings = told.checked()

    assert findings.clean, findings.forbidden
    assert findings.counts["runs of jobs"] == 2
    assert findings.counts["run again after a death or a stop"] == 0


def test_a_run_again_after_a_death_is_honest_and_counted(told: Told) -> None:
    told.job(12, None)
    told.tell(13, What.DIED, process=A)
    told.job(14, 19, B, lease=2)

    findings = told.checked(job(RECORDS, CHILD, lease=2))

    assert findings.clean, findings.forbidden
    assert findings.counts["run again after a death or a stop"] == 1


def test_a_run_again_whose_end_the_dying_process_could_not_write_is_honest(told: Told) -> None:
    told.job(12, 12.9)
    told.tell(13, What.DIED, process=A)
    told.job(14, 19, B, lease=2)

    assert told.checked(job(RECORDS, CHILD, lease=2)).clean


@pytest.mark.parametrize("outcome", [Outcome.RAISED, Outcome.REDELIVER, Outcome.STOPPED])
def test_a_run_again_after_an_error_a_redelivery_or_a_stop_is_honest(
    told: Told, outcome: Outcome
) -> None:
    told.job(12, 13, outcome=outcome)
    told.job(14, 19, lease=2)

    assert told.checked(job(RECORDS, CHILD, lease=2)).clean


def test_a_run_again_that_an_operator_asked_for_is_honest(told: Told) -> None:
    told.job(12, 13, outcome=Outcome.FALSE)
    told.tell(13.5, What.STEERED, act="retry", job=ROOT)
    told.job(14, 19, lease=3)

    assert told.checked(job(RECORDS, CHILD, lease=3)).clean


def frozen(told: Told) -> None:
    told.tell(12.5, What.DETACHED, process=A, why="frozen")
    told.tell(17, What.ATTACHED, process=A)


def cut_off(told: Told) -> None:
    told.tell(12.5, What.DETACHED, process=None, why="cut off")
    told.tell(17, What.ATTACHED, process=None)


def starved(told: Told) -> None:
    told.tell(17, What.HELD_UP, A, since=12.5)


@pytest.mark.parametrize("detach", [frozen, cut_off, starved])
def test_a_process_that_cannot_say_that_it_lives_may_be_overtaken_and_that_is_counted(
    told: Told, detach: Any
) -> None:
    told.job(12, 18, outcome=Outcome.STOPPED)
    detach(told)
    told.job(16, 19, B, lease=2)

    findings = told.checked(job(RECORDS, CHILD, lease=2))

    assert findings.clean, findings.forbidden
    assert findings.counts["begun again while detached"] == 1


def test_a_killed_process_ends_its_runs_when_it_is_killed_and_not_before(told: Told) -> None:
    told.job(12, None)
    told.job(14, 19, B, lease=2)
    told.tell(15, What.DIED, process=A)

    assert "overlapping" in found(told.checked(job(RECORDS, CHILD, lease=2)))


Violation = tuple[str, Told, Records]


def of_sends() -> Iterator[Violation]:
    lost = without_child_runs()
    lost.job(12, 19)
    lost.tell(3, What.SENT, "load.5", send=2, message="gone", job=None, blocked_by=None)
    yield "lost", lost, RECORDS

    lost_job = without_child_runs()
    lost_job.job(12, 19)
    lost_job.tell(3, What.SENT, "load.5", send=2, message="gone", job=99, blocked_by=None)
    yield "lost", lost_job, RECORDS


def of_runs() -> Iterator[Violation]:
    overlapping = without_child_runs()
    overlapping.job(12, 16, outcome=Outcome.RAISED)
    overlapping.job(15, 19, B, lease=2)
    yield "overlapping", overlapping, job(RECORDS, CHILD, lease=2)

    same_lease = without_child_runs()
    same_lease.job(12, 13, outcome=Outcome.RAISED)
    same_lease.job(15, 19, B)
    yield "lease twice", same_lease, RECORDS

    again = without_child_runs()
    again.job(12, 13)
    again.job(15, 19, B, lease=2)
    yield "without a reason", again, job(RECORDS, CHILD, lease=2)

    late = without_child_runs()
    late.job(12, 13, outcome=Outcome.RAISED)
    late.job(20.5, 20.6, lease=2)
    yield "after the end", late, job(RECORDS, CHILD, lease=2)

    yield "unfounded", without_child_runs(), RECORDS

    endless = without_child_runs()
    endless.job(12, None)
    yield "endless", endless, job(RECORDS, CHILD, status="cancelled")


def of_ends() -> Iterator[Violation]:
    good = without_child_runs()
    good.job(12, 19)

    yield "root ends", good, replace(RECORDS, ends=Counter({ROOT: 2}))
    yield "root ends", good, replace(RECORDS, ends=Counter())

    twice = without_child_runs()
    twice.job(12, 19)
    twice.heard("another announcement")
    yield "announced", twice, RECORDS

    yield "dependents", good, replace(RECORDS, releases=Counter({7: 2}))
    yield "dependents", good, job(RECORDS, ROOT, status="cancelled")
    unheard = replace(RECORDS.dependents[0], message="unheard")
    yield "dependents", good, replace(RECORDS, dependents=(*RECORDS.dependents, unheard))

    yield "names twice", good, replace(RECORDS, names_twice=frozenset({"tree"}))
    yield "miscounted", good, replace(RECORDS, miscounted=1)
    yield "left open", good, job(RECORDS, OWN, status="running", stopped=None)
    yield "left waiting", good, replace(RECORDS, left_in_queues=1)


def violations() -> list[Violation]:
    """Each with what it is, and nothing else that is wrong."""
    return [*of_sends(), *of_runs(), *of_ends()]


CASES = [
    pytest.param(name, told, records, id=f"{name} {number}")
    for number, (name, told, records) in enumerate(violations())
]


@pytest.mark.parametrize(("name", "told", "records"), CASES)
def test_each_violation_is_found_as_what_it_is(name: str, told: Told, records: Records) -> None:
    assert found(told.checked(records)) == {name}


def test_there_is_a_made_up_ledger_for_each_violation() -> None:
    assert {name for name, _, _ in violations()} == set(FORBIDDEN)


def test_a_message_without_a_job_is_acted_on_or_a_dead_letter(told: Told) -> None:
    told.job(12, 19)
    told.tell(3, What.SENT, "load.5", send=2, message="plain", job=None, blocked_by=None)
    told.run(4, 5, B, Outcome.RAISED, topic="faults.plain", message="plain")
    assert found(told.checked()) == {"lost"}
    assert told.checked(replace(RECORDS, dead_letters=frozenset({"plain"}))).clean

    told.run(6, 7, B, topic="faults.plain", message="plain")
    assert told.checked().clean


def test_what_only_the_broker_knew_is_honestly_lost_with_its_memory_and_counted(told: Told) -> None:
    told.job(12, 19)
    told.tell(1.0, What.SENT, send=2, message="plain", job=None)
    told.tell(19.0, What.FORGOTTEN)
    assert told.checked().clean
    assert told.checked().counts["lost with the broker's memory"] == 1


def test_what_is_sent_after_the_broker_has_lost_its_memory_is_not_lost_with_it(told: Told) -> None:
    told.job(12, 19)
    told.tell(19.0, What.FORGOTTEN)
    told.tell(19.5, What.SENT, send=2, message="plain", job=None)
    assert found(told.checked()) == {"lost"}


def test_a_send_that_was_blocked_owes_nothing(told: Told) -> None:
    told.job(12, 19)
    told.tell(3, What.SENT, "load.5", send=2, message="none", job=None, blocked_by=ROOT)

    assert told.checked().clean
