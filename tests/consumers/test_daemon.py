import os
import sys
from pathlib import Path

import pytest

from consumers import daemon
from consumers.daemon import ConsumerDaemon, DaemonEnded

DRAINS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("up", flush=True)
signal.sigwait({signal.SIGTERM})
print("drained")
"""
DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
signal.pause()
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "consumer.log"


def run(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let the daemon be this program."""
    monkeypatch.setattr(daemon, "COMMAND", (sys.executable, "-c", program))


def wait_for(log: Path, text: str) -> None:
    while text not in log.read_text():
        os.sched_yield()


def check_until_ended(running: ConsumerDaemon) -> None:
    while True:
        running.check()
        os.sched_yield()


def test_a_daemon_is_asked_to_drain_and_says_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    run(monkeypatch, DRAINS)

    with ConsumerDaemon(log) as running:
        wait_for(log, "up")
        running.check()
        code = running.stop()

    assert code == 0
    assert running.log_tail() == "up\ndrained"


def test_a_daemon_does_not_outlive_a_block_that_fails(
    monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    run(monkeypatch, DRAINS)

    with pytest.raises(KeyboardInterrupt), ConsumerDaemon(log) as running:
        raise KeyboardInterrupt

    with pytest.raises(DaemonEnded):
        running.check()


def test_a_daemon_that_does_not_drain_is_killed_after_its_grace(
    monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    run(monkeypatch, DEAF)
    monkeypatch.setattr(daemon, "GRACE", 0.1)

    with ConsumerDaemon(log) as running:
        wait_for(log, "up")
        code = running.stop()

    assert code == -9


def test_a_daemon_that_ended_by_itself_is_noticed(
    monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    run(monkeypatch, "print('no database'); raise SystemExit(3)")

    with ConsumerDaemon(log) as running, pytest.raises(DaemonEnded, match="exit code 3"):
        check_until_ended(running)

    assert running.log_tail() == "no database"


def test_the_tail_of_a_log_is_its_last_lines(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    run(monkeypatch, "print(*range(100_000), sep='\\n')")

    with ConsumerDaemon(log) as running, pytest.raises(DaemonEnded):
        check_until_ended(running)

    assert running.log_tail(lines=2) == "99998\n99999"
