"""Waiting for a server that is away: as long as patience lasts, and with two lines."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.store.outages import patiently


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """An act that raises these in turn and then answers."""
    left = list(errors)

    async def act() -> str:
        if left:
            raise left.pop(0)
        return "written"

    return act


async def test_what_works_is_answered_without_a_word() -> None:
    with capture_logs() as lines:
        assert await patiently("a note", failing()) == "written"

    assert lines == []


async def test_while_the_database_is_away_it_is_tried_again_with_one_line_for_each_end() -> None:
    with capture_logs() as lines:
        assert await patiently("a note", failing(OSError("gone"), TimeoutError())) == "written"

    assert [(line["event"], line["waiting"]) for line in lines] == [
        ("database_away", "a note"),
        ("database_back", "a note"),
    ]
    assert lines[0]["error"] == "gone"


async def test_an_outage_without_a_text_is_named_by_its_type() -> None:
    with capture_logs() as lines:
        await patiently("a note", failing(TimeoutError()))

    assert lines[0]["error"] == "TimeoutError"


async def test_patience_that_is_over_says_what_was_not_written() -> None:
    with pytest.raises(
        DatabaseUnavailable, match="PostgreSQL is away, a note was not written: gone"
    ):
        await patiently("a note", failing(OSError("gone")), patience=timedelta(0))


async def test_an_error_that_is_no_outage_comes_out_at_once() -> None:
    with pytest.raises(ValueError, match="wrong"):
        await patiently("a note", failing(ValueError("wrong")))
