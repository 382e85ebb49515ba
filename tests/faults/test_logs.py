import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.logs import faults_in, faults_of


def line(event: str, level: str = "info", **fields: Any) -> str:
    return json.dumps({"event": event, "level": level, **fields})


def test_a_consumer_that_tells_of_its_work_and_of_outages_has_no_faults() -> None:
    assert (
        faults_of(
            [
                line("consuming"),
                line("database_away", "warning", waiting="claims"),
                line("database_back"),
                line("broker_lost", "warning", at="amqp://127.0.0.1"),
                line("broker_back", at="amqp://127.0.0.1"),
                line("database_away", "warning", waiting="claims"),
                line("dead_letter", "warning", reason="failed"),
                line("child_killed", "error", process=1),
            ]
        )
        == []
    )


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["Traceback (most recent call last):", line("done")], "no log line"),
        ([line("done"), "KeyError: 7"], "no log line"),
        ([line("not_settled", "error")], "an error"),
        ([line("done", exception="Traceback …")], "a traceback"),
        ([line("done", error="x" * 2000)], "a traceback"),
        ([line("Task exception was never retrieved", "warning")], "nobody heard"),
        ([line("coroutine 'f' was never awaited", "warning")], "nobody heard"),
        ([line("database_away", waiting="a"), line("database_away", waiting="b")], "begins twice"),
        ([line("database_back")], "never began"),
        ([line("broker_lost", at="b"), line("broker_lost", at="b")], "begins twice"),
    ],
)
def test_what_should_not_be_written_is_found(lines: list[str], fault: str) -> None:
    [found] = faults_of(lines)

    assert fault in found


@pytest.mark.parametrize("last", ['{"event": "do', "stopped at once"])
def test_a_last_line_that_a_kill_tore_or_that_is_the_commands_own_is_no_fault(last: str) -> None:
    assert faults_of([line("done"), last]) == []
    assert len(faults_of([last, line("done")])) == 1


def test_the_logs_of_all_consumers_of_a_run_are_read(tmp_path: Path) -> None:
    (tmp_path / "consumer-1.log").write_text(line("done"))
    (tmp_path / "consumer-2.log").write_text("Traceback\n")
    (tmp_path / "load.log").write_text("whatever\n")

    assert faults_in(tmp_path) == ["consumer-2.log: no log line: Traceback"]
