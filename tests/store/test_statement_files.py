"""Statements by name, from files of one subject each."""

from importlib.resources import files

import pytest

from mqjobs.store.statements import HEADING, statements, subjects


def test_every_file_of_statements_is_a_subject() -> None:
    assert {"children", "consumers", "migrations", "outbox", "roots"} <= set(subjects())
    assert all(statements(subject) for subject in subjects())


def test_a_statement_has_its_comments_and_ends_before_the_next_name() -> None:
    outbox = statements("outbox")

    assert {"due", "due_without_queue", "delete", "make_dead"} <= set(outbox)
    assert outbox["due"].startswith("-- Messages that are due to go out;")
    assert outbox["delete"].startswith("DELETE FROM mqjobs.message")
    assert "--" not in outbox["delete"]


@pytest.mark.parametrize("subject", subjects())
def test_no_name_is_given_twice_in_a_file(subject: str) -> None:
    text = files("mqjobs.store").joinpath("sql", f"{subject}.sql").read_text("utf-8")

    assert text.count("-- name:") == len(HEADING.findall(text)) == len(statements(subject))
