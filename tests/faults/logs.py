"""The logs: what no consumer may write, whatever is done to it and to the servers."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

BACK = {"database_away": "database_back", "broker_lost": "broker_back"}
"""What a consumer writes when an outage begins, and when it ends."""

WHOSE = ("at",)
"""The fields that say which of them it is."""

TOLD = ("child_killed", "left_behind", "ended_without_waiting")
"""Errors that are to be told of: what is done to a parent's processes, and code that ignores its stop."""

LAST_WORDS = ("stopped at once",)
"""What the command line itself may say at the end."""

SWALLOWED = ("never retrieved", "never awaited", "exception in callback", "unhandled")
LONGEST_TEXT = 1500


def faults_in(folder: Path) -> list[str]:
    """What the consumers of a run wrote that they should not have, each with the file's name."""
    return [
        f"{path.name}: {fault}"
        for path in sorted(folder.glob("consumer-*.log"))
        for fault in faults_of(path.read_text("utf-8", errors="replace").splitlines())
    ]


def faults_of(lines: Sequence[str]) -> list[str]:
    """What one consumer wrote that it should not have.

    Each line is a log line; none is an error, has a traceback, or speaks of an exception that nobody heard. An outage
    has one line when it begins and one when it ends. The last line may be torn: the consumer was killed.
    """
    away: set[tuple[str, Any]] = set()
    found: list[str] = []
    for number, text in enumerate(lines):
        line = _read(text)
        if line is None:
            is_last = number == len(lines) - 1
            if not (is_last and (text in LAST_WORDS or text.startswith("{"))):
                found.append(f"no log line: {text[:200]}")
            continue
        found += _faults_of_line(line)
        found += _faults_of_outages(line, away)
    return found


def _read(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "event" in line else None


def _faults_of_line(line: dict[str, Any]) -> Iterator[str]:
    event = str(line["event"])
    if line.get("level") in {"error", "critical"} and event not in TOLD:
        yield f"an error: {_short(line)}"
    elif "exception" in line or any(len(str(each)) > LONGEST_TEXT for each in line.values()):
        yield f"a traceback: {_short(line)}"
    elif any(word in event.lower() for word in SWALLOWED):
        yield f"an exception that nobody heard: {_short(line)}"


def _faults_of_outages(line: dict[str, Any], away: set[tuple[str, Any]]) -> Iterator[str]:
    event = str(line["event"])
    whose = next((line[field] for field in WHOSE if field in line), None)
    if event in BACK:
        if (event, whose) in away:
            yield f"an outage that begins twice: {_short(line)}"
        away.add((event, whose))
    for began, ended in BACK.items():
        if event == ended:
            if (began, whose) not in away:
                yield f"an outage that ends and never began: {_short(line)}"
            away.discard((began, whose))


def _short(line: dict[str, Any]) -> str:
    text = json.dumps(line)
    return text if len(text) <= 300 else f"{text[:300]}…"
