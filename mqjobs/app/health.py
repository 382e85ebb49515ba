"""Health: what is answered at /live, /ready and /metrics, from the latest snapshot of each process."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mqjobs.app.snapshot import BETWEEN_LOOKS, LOOP, Phase, Snapshot, loop_late_by

STILL = 10.0


class Answer(NamedTuple):
    """What is answered over HTTP."""

    status: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """A snapshot, and when it came by the clock that only rises."""

    snapshot: Snapshot
    at: float

    def as_of(self, now: float) -> Snapshot:
        """The snapshot; where the next one is overdue for long, that process' event loop is held up."""
        loop = loop_late_by(now - self.at - BETWEEN_LOOKS.total_seconds())
        if loop.ok or not self.at:
            return self.snapshot
        return self.snapshot.model_copy(update={"checks": {**self.snapshot.checks, LOOP: loop}})


class Health:
    """Of so many processes, by number. It is told in the event loop and asked in other threads."""

    def __init__(self, processes: int = 1) -> None:
        self._told = {number: Told(STARTING, 0.0) for number in range(1, processes + 1)}
        self._own: Snapshot | None = None
        self._turned_at = time.monotonic()

    def hear(self, number: int, snapshot: Snapshot) -> None:
        """This process is so now."""
        self._told[number] = Told(snapshot, time.monotonic())

    def forget(self, number: int) -> None:
        """This process is gone."""
        self._told[number] = Told(STARTING, 0.0)

    def turn(self, own: Snapshot | None = None) -> None:
        """The event loop of the process that answers has turned; `own` is what it has counted as a parent."""
        self._turned_at = time.monotonic()
        self._own = own

    def snapshots(self) -> Mapping[str, Snapshot]:
        """The latest of each process that has told anything, by its number; and the parent's, if there is one."""
        told = {str(number): told.snapshot for number, told in self._told.items() if told.at}
        return told if self._own is None else {**told, "parent": self._own}

    @property
    def ready_processes(self) -> int:
        """How many are ready."""
        now = time.monotonic()
        return sum(told.as_of(now).is_ready for told in self._told.values())

    def live(self) -> Answer:
        """Whether the event loop of the process that answers has turned lately."""
        still = time.monotonic() - self._turned_at
        document = {"live": still < STILL, "event_loop_turned_s_ago": round(still, 3)}
        return _json(still < STILL, document)

    def ready(self) -> Answer:
        """Whether every process takes messages, and finds everything right that it looks at."""
        now = time.monotonic()
        processes = {str(number): _of_one(told, now) for number, told in self._told.items()}
        is_ready = all(each["ready"] for each in processes.values())
        return _json(is_ready, {"ready": is_ready, "processes": processes})


STARTING = Snapshot(phase=Phase.STARTING)


def _of_one(told: Told, now: float) -> Mapping[str, object]:
    snapshot, age = told.as_of(now), now - told.at
    return {
        "ready": snapshot.is_ready,
        "phase": snapshot.phase,
        "told_s_ago": round(age, 3) if told.at else None,
        "checks": {name: check.model_dump() for name, check in snapshot.checks.items()},
    }


def _json(is_good: bool, document: Mapping[str, object]) -> Answer:
    return Answer(200 if is_good else 503, "application/json", json.dumps(document) + "\n")
