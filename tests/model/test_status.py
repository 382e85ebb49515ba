"""Where jobs stand, and where they may go from there."""

import pytest

from mqjobs.model.status import CHILD_MOVES, CHILD_RETRIES, ROOT_MOVES, TERMINAL, JobStatus, Moves

ENDS = {JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.STALE}


def test_a_job_that_has_ended_is_terminal_and_no_other() -> None:
    assert {status for status in JobStatus if status.is_terminal} == ENDS == TERMINAL


@pytest.mark.parametrize("moves", [CHILD_MOVES, ROOT_MOVES], ids=["child", "root"])
def test_nothing_leaves_an_end(moves: Moves) -> None:
    assert all(not moves[status] for status in ENDS)


@pytest.mark.parametrize("moves", [CHILD_MOVES, ROOT_MOVES], ids=["child", "root"])
def test_the_moves_say_something_of_every_status_and_nothing_becomes_new(moves: Moves) -> None:
    assert set(moves) == set(JobStatus)
    assert all(JobStatus.NEW not in goals for goals in moves.values())
    assert all(status not in goals for status, goals in moves.items())


@pytest.mark.parametrize("waiting", [JobStatus.NEW, JobStatus.FAILED_REDELIVERED])
def test_a_child_that_waits_runs_or_is_called_off(waiting: JobStatus) -> None:
    assert CHILD_MOVES[waiting] == {JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.STALE}


def test_a_child_that_runs_ends_or_is_tried_again() -> None:
    assert CHILD_MOVES[JobStatus.RUNNING] == ENDS | {JobStatus.FAILED_REDELIVERED}


def test_a_root_is_never_tried_again_by_itself() -> None:
    assert all(JobStatus.FAILED_REDELIVERED not in goals for goals in ROOT_MOVES.values())


def test_an_operator_retries_what_failed_or_was_cancelled() -> None:
    assert {JobStatus.FAILED, JobStatus.CANCELLED} == CHILD_RETRIES
