"""Consumers as real processes, `mqjobs consume` each, and what can be done to them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tests.faults.app import LEDGER_VARIABLE, NAME_VARIABLE
from tests.faults.ledger import Ledger, What, process_name

ROOT = Path(__file__).parents[2]
APP = "tests.faults.app:app"


@dataclass
class Process:
    """A process of the suite; what it writes to standard error is in `log`."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path
    is_frozen: bool = False
    is_ended: bool = False
    """It was killed, or asked to end."""

    @property
    def id(self) -> str:
        """How the ledger calls it."""
        return process_name(self.name, self.popen.pid)

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def wrote(self, text: str) -> bool:
        """Whether it has written a line with this text."""
        return text in self.log.read_text("utf-8", errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """It gets this signal, if it lives."""
        self.popen.send_signal(number)


@dataclass
class Consumers:
    """The consumers of a run. Whatever is done to one is in the ledger; it is started again where that is asked for.

    `variables` hold for all that are started from then on, `flags` follow `mqjobs consume`.
    """

    folder: Path
    ledger: Ledger
    variables: Mapping[str, str]
    flags: Sequence[str] = ()
    processes: list[Process] = field(default_factory=list)
    started: int = 0

    def start(self, **variables: str) -> Process:
        """One more."""
        self.started += 1
        name = f"consumer-{self.started}"
        words = ("-m", "mqjobs", "consume", "--app", APP, *self.flags)
        process = self.run(name, words, **variables)
        self.processes.append(process)
        return process

    def run(self, name: str, words: Sequence[str], **variables: str) -> Process:
        """A Python process with these words, that writes into the ledger under this name."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env={
                    **_inherited(),
                    **self.variables,
                    LEDGER_VARIABLE: str(self.folder),
                    NAME_VARIABLE: name,
                    **variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return Process(name, popen, log)

    def living(self) -> list[Process]:
        """Those that live and are not frozen."""
        return [each for each in self.processes if each.lives and not each.is_frozen]

    def fallen(self) -> list[Process]:
        """Those that have ended of themselves."""
        return [each for each in self.processes if not each.lives and not each.is_ended]

    def kill(self, process: Process) -> None:
        """It is dead at once. What it was doing ends in the moment before."""
        at = time.monotonic()
        process.popen.kill()
        process.popen.wait()
        self._note_death(process, at, "killed")

    def kill_child(self, process: Process, pid: int) -> None:
        """One of the processes that this one has is dead at once; it is this one's to see."""
        at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self.ledger.write(What.DIED, process=process_name(process.name, pid), why="killed", at=at)

    def freeze(self, process: Process) -> None:
        """It stands still, and cannot say that it lives."""
        self.ledger.write(What.DETACHED, process=process.id, why="frozen")
        process.is_frozen = True
        process.signal(signal.SIGSTOP)

    def thaw(self, process: Process) -> None:
        """It goes on."""
        process.signal(signal.SIGCONT)
        process.is_frozen = False
        self.ledger.write(What.ATTACHED, process=process.id)

    def end(
        self,
        process: Process,
        number: signal.Signals = signal.SIGTERM,
        within: timedelta = timedelta(seconds=40),
    ) -> int | None:
        """It is asked to end; its exit code, None where it did not end in time and was killed."""
        process.signal(number)
        try:
            code = process.popen.wait(within.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill(process)
            return None
        self._note_death(process, time.monotonic(), f"ended with {code}")
        return code

    def close(self) -> None:
        """None lives."""
        for process in self.processes:
            if process.lives:
                process.popen.kill()
                process.popen.wait()

    def _note_death(self, process: Process, at: float, why: str) -> None:
        process.is_ended = True
        self.ledger.write(What.DIED, process=process.id, why=why, at=at)


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MQJOBS_")}
