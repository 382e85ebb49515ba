"""The ledger: what happened, written outside the database, one line for each event."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class What(StrEnum):
    """What happened, with the fields that the event has."""

    BEGAN = "began"
    """A process: nothing."""
    SENDING = "sending"
    """A send was asked for: `send` (its number in that process)."""
    SENT = "sent"
    """The send returned: `send`, `message`, `job`, `blocked_by`."""
    REFUSED = "refused"
    """The send raised: `send`, `error`."""
    START = "start"
    """A processor's or job's code begins: `run`, `topic`, `message`, and of a job `job`, `lease`, `root`."""
    END = "end"
    """It has ended: `run`, `outcome` (one of Outcome's), `error`."""
    HELD_UP = "held_up"
    """A process could not do anything for a while: `since` (monotonic)."""
    DETACHED = "detached"
    """A process cannot say that it lives, from now on: `process`, or None for all; `why`."""
    ATTACHED = "attached"
    """It can again: `process`, or None for all."""
    DIED = "died"
    """A process was killed or ended, at this time: `process`, `why`."""
    FORGOTTEN = "forgotten"
    """The broker has lost all messages that it had: nothing."""
    FAULT = "fault"
    """The runner did harm: `name`."""
    STEERED = "steered"
    """An operator's act: `act` (interrupt, retry), `job`, `answer`."""


class Outcome(StrEnum):
    """How a run's code ended."""

    TRUE = "true"
    FALSE = "false"
    RAISED = "raised"
    REDELIVER = "redeliver"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """One line. `at` is monotonic, the same clock in all processes of a machine; `by` the process that wrote it."""

    at: float
    by: str
    what: What
    fields: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """The field, or None."""
        return self.fields.get(name)


class Ledger:
    """The file of this process. Each event is one write to its end, so that a killed process leaves whole lines."""

    def __init__(self, folder: Path, name: str) -> None:
        self.by = process_name(name, os.getpid())
        self._file = os.open(
            folder / f"{self.by}.ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
        )
        self._runs = 0
        self.write(What.BEGAN)

    def write(self, what: What, **fields: Any) -> None:
        """It has happened now, or at this time if one is given."""
        line = json.dumps({"at": time.monotonic(), "wall": time.time(), "what": what, **fields})
        os.write(self._file, f"{line}\n".encode())

    @contextmanager
    def run(self, **fields: Any) -> Iterator["Run"]:
        """The block is a run; what it came to is written at its end."""
        self._runs += 1
        run = Run(f"{self.by}:{self._runs}")
        self.write(What.START, run=run.id, **fields)
        try:
            yield run
        except BaseException as error:
            outcome = OUTCOMES.get(type(error).__name__, Outcome.RAISED)
            self.write(What.END, run=run.id, outcome=outcome, error=repr(error))
            raise
        self.write(What.END, run=run.id, outcome=Outcome.TRUE if run.value else Outcome.FALSE)


OUTCOMES = {"Redeliver": Outcome.REDELIVER, "CancelledError": Outcome.STOPPED}


@dataclass
class Run:
    """A run that is under way; `value` is what it is about to return."""

    id: str
    value: bool = True


def process_name(name: str, pid: int) -> str:
    """How a process is called in the ledger."""
    return f"{name}.{pid}"


def read(folder: Path) -> list[Event]:
    """All events, in the order in which they happened."""
    events = [event for path in folder.glob("*.ledger") for event in _read_file(path)]
    return sorted(events, key=lambda event: event.at)


def _read_file(path: Path) -> Iterator[Event]:
    for line in path.read_text("utf-8").splitlines():
        fields = json.loads(line)
        yield Event(fields.pop("at"), path.stem, What(fields.pop("what")), fields)
