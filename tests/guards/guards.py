"""What keeps the promises: each guard, how it is removed, and the tests that fail without it."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SQL = "mqjobs/store/sql"
SCHEMA = "mqjobs/store/versions/0001_first.sql"
SCENARIOS = "tests/scenarios"


@dataclass(frozen=True, slots=True)
class Guard:
    """A piece of code that a promise rests on. Without `text` in `file`, or with `instead`, one of the tests fails."""

    name: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """The tests as pytest is given them."""
        return [f"{SCENARIOS}/{test}" for test in self.tests]

    def removed_from(self, source: str) -> str:
        """The file's text without the guard. Raises ValueError unless the guard is there exactly once."""
        if source.count(self.text) != 1:
            raise ValueError(f"{self.name}: found {source.count(self.text)} times in {self.file}")
        return source.replace(self.text, self.instead)


GUARDS = (
    Guard(
        "status: a claim leaves ended jobs alone",
        f"{SQL}/children.sql",
        "AND (job.status IN ('new', 'failed_redelivered')\n",
        "AND (job.status IN ('new', 'failed_redelivered', 'success')\n",
        (
            "test_claims.py::test_of_an_ended_job_nothing_runs_and_the_processor_ends_by_the_recorded_outcome",
        ),
    ),
    Guard(
        "status: an outcome is written of a running job alone",
        f"{SQL}/children.sql",
        "job.lease = finished.lease AND job.status = 'running'\n",
        "job.lease = finished.lease\n",
        ("test_races.py::test_an_outcome_that_is_written_twice_counts_once",),
    ),
    Guard(
        "status: moves that the specification does not have are refused",
        SCHEMA,
        "CREATE TRIGGER job_moves BEFORE UPDATE OF status ON mqjobs.job FOR EACH ROW\n    WHEN (",
        "CREATE TRIGGER job_moves BEFORE UPDATE OF status ON mqjobs.job FOR EACH ROW\n    WHEN (false AND ",
        ("test_child_moves.py::test_the_database_refuses_every_move_that_is_not_in_the_table",),
    ),
    Guard(
        "lease: an outcome is written by the holder of the lease",
        f"{SQL}/children.sql",
        "job.lease = finished.lease AND job.status = 'running'\n",
        "job.status = 'running'\n",
        ("test_races.py::test_a_finish_under_an_old_lease_writes_nothing",),
    ),
    Guard(
        "lease: each claim has the next number",
        f"{SQL}/children.sql",
        "lease = job.lease + 1,\n           claim_id",
        "lease = greatest(job.lease, 1),\n           claim_id",
        (
            "test_claims.py::test_a_job_whose_consumer_is_dead_is_taken_over_under_the_next_lease",
            "test_claims.py::test_a_failed_redelivered_job_is_claimed_and_runs_under_the_next_lease",
        ),
    ),
    Guard(
        "lease: the reaper takes it away",
        f"{SQL}/consumers.sql",
        "       lease = job.lease + 1,\n       crashes",
        "       crashes",
        ("test_state_machine.py",),
    ),
    Guard(
        "lease: a stale job's is taken away",
        SCHEMA,
        "SET status = 'stale', stopped_at = clock_timestamp(), lease = lease + 1",
        "SET status = 'stale', stopped_at = clock_timestamp()",
        ("test_state_machine.py",),
    ),
    Guard(
        "lease: a report is its holder's",
        f"{SQL}/children.sql",
        "WHERE id = $1 AND lease = $2 AND status = 'running'\n    RETURNING root_id",
        "WHERE id = $1 AND lease >= $2 AND status = 'running'\n    RETURNING root_id",
        ("test_races.py::test_an_older_run_can_write_nothing_while_a_newer_one_runs",),
    ),
    Guard(
        "lease: children are created by its holder",
        "mqjobs/store/children.py",
        "await hold_lease(connection, run)\n    envelopes = [child",
        "envelopes = [child",
        ("test_races.py::test_an_older_run_can_write_nothing_while_a_newer_one_runs",),
    ),
    Guard(
        "claim: a job that runs in a live consumer is not taken over",
        f"{SQL}/children.sql",
        "            AND NOT mqjobs.is_alive(job.consumer_id)\n",
        "",
        ("test_claims.py::test_a_duplicate_of_a_running_job_is_parked_and_nothing_runs",),
    ),
    Guard(
        "lock order: roots by their ids",
        f"{SQL}/roots.sql",
        "WHERE id = ANY($1::bigint[]))\n ORDER BY id\n",
        "WHERE id = ANY($1::bigint[]))\n ORDER BY random()\n",
        (
            "test_races.py::test_calls_about_the_same_roots_wait_for_each_other_and_never_in_a_circle",
        ),
    ),
    Guard(
        "lock order: a root is locked before its children are finished",
        "mqjobs/store/finishes.py",
        "    await lock_roots_of(connection, [run.job_id for run in runs])\n",
        "",
        ("test_state_machine.py",),
    ),
    Guard(
        "closing: a root ends with its last child, not before",
        f"{SQL}/roots.sql",
        "success + failed + cancelled + stale = children AS has_ended",
        "success + failed + cancelled + stale >= children - 1 AS has_ended",
        ("test_state_machine.py",),
    ),
    Guard(
        "closing: a root that has ended does not end again",
        f"{SQL}/roots.sql",
        "JOIN mqjobs.job AS root ON root.id = change.root_id\n     WHERE root.status IN ('new', 'running')\n",
        "JOIN mqjobs.job AS root ON root.id = change.root_id\n",
        (
            "test_races.py::test_a_root_that_has_ended_does_not_end_again_whatever_is_said_of_its_children",
        ),
    ),
    Guard(
        "closing: an ended root has no open children",
        SCHEMA,
        "         OR children_success + children_failed + children_cancelled + children_stale = children)",
        "         OR true)",
        ("test_schema.py::test_a_row_that_contradicts_itself_is_refused",),
    ),
    Guard(
        "dependent messages are sent once",
        f"{SQL}/roots.sql",
        "AND dependent.sent_at IS NULL\n",
        "\n",
        ("test_dependents.py::test_a_retried_root_sends_no_dependent_message_a_second_time",),
    ),
    Guard(
        "outbox: a job and its message in one transaction",
        "mqjobs/store/certainty.py",
        "            async with bounded_transaction(connection):\n",
        "            if connection:\n",
        ("test_births.py::test_a_message_that_cannot_be_written_leaves_no_root_behind",),
    ),
    Guard(
        "outbox: the next attempt's message in the transaction of this one's outcome",
        "mqjobs/store/finishes.py",
        "        await insert_messages(connection, [envelope for envelope in again if envelope])\n",
        "",
        ("test_child_moves.py::test_a_child_with_attempts_left_is_tried_again_and_may_succeed",),
    ),
    Guard(
        "unique index: one active root per name",
        SCHEMA,
        "CREATE UNIQUE INDEX job_one_active_root_per_name",
        "CREATE INDEX job_one_active_root_per_name",
        ("test_races.py::test_of_many_requests_for_a_name_at_once_one_root_is_born",),
    ),
    Guard(
        "unique index: one child per name in a root",
        SCHEMA,
        "CREATE UNIQUE INDEX job_one_child_per_name ON mqjobs.job (root_id, name) WHERE root_id IS NOT NULL;",
        "CREATE UNIQUE INDEX job_one_child_per_name ON mqjobs.job (root_id, name, id) WHERE root_id IS NOT NULL;",
        ("test_schema.py::test_a_name_that_is_taken_is_refused",),
    ),
    Guard(
        "stale: a delayed child that runs protects its root",
        SCHEMA,
        "WHERE child.root_id = $1 AND NOT child.is_own_child AND child.status = 'running'",
        "WHERE child.root_id = $1 AND NOT child.is_own_child AND child.status = 'stale'",
        ("test_stale.py::test_a_delayed_child_that_runs_in_a_live_consumer_protects_its_root",),
    ),
    Guard(
        "stale: a root in which something happens is not",
        SCHEMA,
        "OR last_active_at < clock_timestamp() - $2::interval)",
        "OR $2::interval IS NOT NULL)",
        ("test_stale.py::test_activity_keeps_a_root_from_becoming_stale",),
    ),
    Guard(
        "interrupt: what is created afterwards never starts",
        f"{SQL}/children.sql",
        "CASE WHEN root.interrupted THEN 'cancelled'::mqjobs.job_status ELSE 'new' END",
        "'new'::mqjobs.job_status",
        (
            "test_interrupts.py::test_children_created_after_the_interrupt_of_their_root_are_cancelled_from_the_start",
        ),
    ),
    Guard(
        "interrupt: what was interrupted does not run again",
        f"{SQL}/children.sql",
        "AND (child.interrupted OR root.interrupted)\n                THEN 'cancelled'",
        "AND false\n                THEN 'cancelled'",
        ("test_interrupts.py::test_a_running_child_of_an_interrupted_root_is_not_tried_again",),
    ),
    Guard(
        "acknowledgement: after the outcome is committed",
        "mqjobs/runtime/execution.py",
        "            fate = await act(handling)\n",
        "            handling._leave(Acknowledge())\n            fate = await act(handling)\n",
        ("test_consumers.py::test_a_message_without_a_job_that_is_beyond_the_grace_comes_again",),
    ),
    Guard(
        "reaper: a job of a dead consumer has its message sent again",
        "mqjobs/store/consumers.py",
        "    await insert_messages(connection, again)\n",
        "",
        ("test_consumers.py::test_the_reaper_puts_a_job_of_a_dead_consumer_back_with_its_message",),
    ),
    Guard(
        "resending: what waits in a queue is not lost",
        "mqjobs/runtime/resending.py",
        "states[queue].ready == 0 and ",
        "",
        ("test_lost_messages.py::test_what_waits_in_a_queue_that_nobody_consumes_is_not_lost",),
    ),
    Guard(
        "resending: what a busy consumer may have at hand is not lost",
        f"{SQL}/resending.sql",
        "(consumer.is_full OR consumer.heartbeat_at <= $1)",
        "consumer.heartbeat_at <= $1",
        ("test_lost_messages.py::test_what_waits_behind_others_in_a_busy_consumer_is_not_lost",),
    ),
    Guard(
        "resending: a queue that is gone is waited for",
        "mqjobs/runtime/resending.py",
        "if each and all(",
        "if all(",
        (
            "test_lost_messages.py::test_a_queue_that_is_gone_gets_its_messages_when_its_consumer_has_declared_it_again",
        ),
    ),
    Guard(
        "life: only a consumer that lives claims",
        f"{SQL}/children.sql",
        " AND mqjobs.is_alive(wanted.consumer_id)\n",
        "\n",
        (
            "../store/test_claims.py::test_a_consumer_that_is_dead_itself_is_granted_nothing_and_told_so",
        ),
    ),
    Guard(
        "life: what a dead consumer held has a crash more",
        f"{SQL}/consumers.sql",
        "crashes = crashes + is_held::integer, ",
        "",
        (
            "test_lives.py::test_a_message_under_which_consumers_die_again_and_again_is_a_dead_letter",
        ),
    ),
    Guard(
        "life: code that ignores its stop has lost its lease",
        f"{SQL}/children.sql",
        "       lease = job.lease + finished.takes_lease::integer\n",
        "       lease = job.lease\n",
        (
            "test_lives.py::test_code_that_goes_on_after_its_interrupt_loses_its_job_and_what_it_writes_is_refused",
        ),
    ),
    Guard(
        "life: long work is held",
        "mqjobs/runtime/execution.py",
        "handling.may_be_held and handling.lasts_for >= after",
        "handling.may_be_held and handling.lasts_for < timedelta(0)",
        ("test_lives.py::test_a_long_job_is_handed_over_and_ends_as_it_would",),
    ),
    Guard(
        "life: what comes again is held before it runs",
        "mqjobs/runtime/execution.py",
        "if handling.redelivered or envelope.crashes:",
        "if envelope.crashes:",
        ("test_lives.py::test_what_the_broker_delivers_again_is_held_while_it_runs",),
    ),
)
