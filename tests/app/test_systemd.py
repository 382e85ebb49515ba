"""What the service manager is told, as the manager hears it."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqjobs.app.snapshot import Check, Phase, Snapshot
from mqjobs.app.systemd import Systemd
from tests.support.waiting import eventually

READY = Snapshot(phase=Phase.CONSUMING, gauges={"running": 2})
BROKEN = Snapshot(phase=Phase.CONSUMING, checks={"broker": Check(ok=False, says="away\nREADY=1")})
DRAINING = Snapshot(phase=Phase.DRAINING, gauges={"running": 1})


class Manager:
    """Where NOTIFY_SOCKET leads to."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        while True:
            try:
                self.heard.append(self._line.recv(4096).decode())
            except BlockingIOError:
                return self.heard


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        line.bind(address)
        yield Manager(line)


def test_it_hears_once_of_what_is_ready_and_of_what_stops_and_of_each_new_status(
    manager: Manager, address: str
) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": address})

    for snapshot in (Snapshot(phase=Phase.STARTING), BROKEN, READY, READY, DRAINING, DRAINING):
        systemd.hear(snapshot)

    assert manager.listen() == [
        "STATUS=starting",
        "STATUS=consuming; broker: away READY=1",
        "READY=1",
        "STATUS=consuming, 2 running",
        "STOPPING=1",
        "STATUS=draining, 1 running",
    ]


async def test_the_watchdog_hears_twice_in_its_time(manager: Manager, address: str) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000"})
    loop = asyncio.get_running_loop()
    began = loop.time()

    async with asyncio.TaskGroup() as group:
        beating = group.create_task(systemd.beat())
        await eventually(lambda: manager.listen().count("WATCHDOG=1") >= 5)
        assert loop.time() - began >= 4 * 0.05
        beating.cancel()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid() + 1)},
    ],
)
async def test_without_a_watchdog_for_this_process_nothing_beats(
    manager: Manager, address: str, environment: dict[str, str]
) -> None:
    await Systemd({"NOTIFY_SOCKET": address, **environment}).beat()

    assert manager.listen() == []


async def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(address: str) -> None:
    Systemd({}).hear(READY)
    await Systemd({"WATCHDOG_USEC": "100000"}).beat()
    Systemd({"NOTIFY_SOCKET": address}).hear(READY)


def test_an_abstract_address_is_one_too() -> None:
    name = f"mqjobs-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        line.bind(f"\0{name}")
        Systemd({"NOTIFY_SOCKET": f"@{name}"}).hear(READY)

        assert line.recv(4096) == b"READY=1"
