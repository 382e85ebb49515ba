"""The consumer daemon of this application, as a process beside the one that starts it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

COMMAND = (sys.executable, "-m", "mqjobs", "consume", "--app", "consumers:app")
GRACE = 30.0


class DaemonEnded(Exception):
    """The daemon is gone although nobody stopped it."""


class ConsumerDaemon:
    """The daemon, from `with` to the end of the block; it never outlives the block.

    It stands apart from the terminal, so that Ctrl-C reaches it through here, and once.
    """

    def __init__(self, log: Path) -> None:
        self.log = log

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"MQJOBS_LOG_FORMAT": "console", **os.environ},
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raise DaemonEnded where the process is gone."""
        code = self._process.poll()
        if code is not None:
            raise DaemonEnded(f"the consumer ended by itself, with exit code {code}")

    def stop(self) -> int:
        """Ask the daemon to drain, and return its exit code; it is killed where its grace ends."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return self._kill()
        except KeyboardInterrupt:
            self._kill()
            raise

    def _kill(self) -> int:
        self._process.kill()
        return self._process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the daemon wrote."""
        with self.log.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 64_000))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])
