"""Log lines: for people on a terminal, as JSON elsewhere, always to stderr; tried in processes of their own."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import logging, structlog, sys
from mqjobs.app.logging import configure_logging
configure_logging({arguments})
log = structlog.get_logger("mqjobs.tests")
{code}
"""


def written(code: str, arguments: str = "'info', 'json'") -> list[str]:
    """The lines that this code writes to stderr; none go to stdout."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments=arguments, code=code)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == ""
    return ran.stderr.splitlines()


def as_json(code: str) -> dict[str, Any]:
    """The one line that this code writes."""
    [line] = written(code)
    read: dict[str, Any] = json.loads(line)
    return read


def test_a_line_is_an_object_with_its_event_level_logger_and_time() -> None:
    line = as_json("log.info('done', topic='a', ms=1.5)")

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "done",
        "topic": "a",
        "ms": 1.5,
        "level": "info",
        "logger": "mqjobs.tests",
    }


def test_an_exception_is_in_its_line_with_its_traceback() -> None:
    line = as_json(
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed', job_id=7)"
    )

    assert (line["event"], line["job_id"], line["level"]) == ("failed", 7, "error")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_what_is_no_json_is_written_as_it_shows_itself() -> None:
    assert as_json("log.info('done', what={1})")["what"] == "{1}"


def test_lines_of_the_standard_library_look_the_same() -> None:
    line = as_json("logging.getLogger('other').warning('%s of %s', 1, 2)")

    assert (line["event"], line["level"], line["logger"]) == ("1 of 2", "warning", "other")


def test_what_is_bound_to_the_context_is_in_every_line() -> None:
    assert (
        as_json("structlog.contextvars.bind_contextvars(tenant='nord'); log.info('done')")["tenant"]
        == "nord"
    )


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["a", "b", "c", "d"]),
        ("info", ["b", "c", "d"]),
        ("warning", ["c", "d"]),
        ("error", ["d"]),
    ],
)
def test_lines_that_are_less_urgent_than_the_level_are_not_written(
    level: str, events: list[str]
) -> None:
    lines = written(
        "log.debug('a'); log.info('b'); log.warning('c'); log.error('d')", f"'{level}', 'json'"
    )

    assert [json.loads(line)["event"] for line in lines] == events


def test_others_are_heard_from_warnings_on_and_the_broker_driver_not_at_all() -> None:
    lines = written(
        "logging.getLogger('other').info('a')\n"
        "logging.getLogger('aio_pika').error('b')\n"
        "logging.getLogger('aiormq.connection').error('c')\n"
        "logging.getLogger('other').warning('d')",
        "'debug', 'json'",
    )

    assert [json.loads(line)["event"] for line in lines] == ["d"]


def test_configuring_twice_writes_every_line_once() -> None:
    assert len(written("configure_logging('info', 'json'); log.info('done')")) == 1


def test_for_people_a_line_is_text_with_its_values() -> None:
    [line] = written("log.info('done', topic='a')", "'info', 'console'")

    assert "done" in line
    assert "topic=a" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(("no_color", "is_colored"), [(None, True), ("1", False)])
def test_on_a_terminal_lines_are_for_people_and_colored_unless_that_is_unwanted(
    no_color: str | None, is_colored: bool
) -> None:
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments="'info', 'auto'", code="log.info('done')")],
        stderr=theirs,
        check=True,
        env=environment | ({"NO_COLOR": no_color} if no_color else {}),
    )
    os.close(theirs)
    text = os.read(ours, 10_000).decode()
    os.close(ours)

    assert "done" in text
    assert "{" not in text
    assert ("\x1b[" in text) == is_colored


def test_elsewhere_lines_are_objects_by_themselves() -> None:
    [line] = written("log.info('done')", "'info', 'auto'")

    assert json.loads(line)["event"] == "done"


@pytest.mark.parametrize(("style", "are_welcome"), [("json", False), ("console", True)])
def test_plain_words_between_the_lines_are_for_people_alone(style: str, are_welcome: bool) -> None:
    code = "from mqjobs.app.logging import is_for_people; sys.stderr.write(str(is_for_people()))"

    assert written(code, f"'info', '{style}'") == [str(are_welcome)]
