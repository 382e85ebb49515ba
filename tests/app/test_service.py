"""The consumer daemon as a process: it hears signals, and says what it does."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from mqjobs.app.app import App
from mqjobs.app.settings import Settings
from mqjobs.model.status import JobStatus
from tests.support.servers.network import free_ports
from tests.support.topics import Work
from tests.support.waiting import eventually

DAEMON = """
import asyncio, os, sys
from pathlib import Path
import structlog
from mqjobs import App, Settings
from mqjobs.app.logging import configure_logging
from mqjobs.app.service import consume
from tests.support.processors import unique

async def callback(runner, job):
    structlog.get_logger("mqjobs.tests").info("running")
    while not Path(sys.argv[1]).exists():
        await asyncio.sleep(0.02)
    return True

configure_logging("info", "json")
app = App(Settings(grace=60, heartbeat_interval=0.1, dead_after=10))
app.subscribe(unique(callback))
asyncio.run(consume(app))
"""


STUBBORN = DAEMON.replace(
    "        await asyncio.sleep(0.02)",
    """        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            pass""",
).replace("grace=60, ", "")


class Daemon:
    """The process, and the lines that it wrote."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[dict[str, Any]] = []
        self.rest: list[str] = []

    async def listen(self) -> None:
        """Take note of what it writes, until it ends."""
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode()
            if text.startswith("{"):
                self.lines.append(json.loads(text))
            else:
                self.rest.append(text.strip())

    def said(self, event: str) -> bool:
        """Whether there is such a line."""
        return any(line["event"] == event for line in self.lines)

    async def until(self, event: str) -> None:
        """There is such a line."""
        await eventually(
            lambda: self.said(event), within=timedelta(seconds=30), what=f"{event} in {self.lines}"
        )

    def signal(self, number: signal.Signals) -> None:
        """It gets this signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(30):
            return await self._process.wait()


@pytest.fixture
def finish(tmp_path: Path) -> Path:
    """Jobs end when this file is there."""
    return tmp_path / "finish"


def let_jobs_end(finish: Path) -> None:
    """The file is there."""
    finish.touch()


@asynccontextmanager
async def daemon(
    database_url: str, finish: Path, program: str = DAEMON, **settings: str
) -> AsyncIterator[Daemon]:
    """A daemon that consumes; it does not outlive the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        str(finish),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "MQJOBS_DATABASE_URL": database_url, **settings},
    )
    running = Daemon(process)
    async with asyncio.TaskGroup() as group:
        group.create_task(running.listen())
        try:
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def send(database_url: str) -> int:
    """A job for the daemon; its root."""
    app = App(Settings(database_url=database_url))
    app.sends(Work)
    async with app.open() as mq:
        sent = await mq.producer.send(Work())
    assert sent.job_id is not None
    return sent.job_id


async def own_status(database_url: str, root_id: int) -> JobStatus:
    connection = await asyncpg.connect(database_url)
    try:
        return JobStatus(
            await connection.fetchval("SELECT status FROM mqjobs.job WHERE root_id = $1", root_id)
        )
    finally:
        await connection.close()


async def test_it_says_what_it_consumes_and_where_and_no_secret(
    database_url: str, finish: Path
) -> None:
    async with daemon(database_url, finish, MQJOBS_CONCURRENCY="3") as running:
        await running.until("consuming")

    [line] = [line for line in running.lines if line["event"] == "consuming"]
    assert (line["queues"], line["broker"]) == (["default"], "postgres://local socket")
    assert (line["concurrency"], line["prefetch"]) == (3, 6)
    assert line["database"].startswith("postgresql://")
    assert "host=" not in line["database"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_lets_what_runs_end_and_the_process_with_it(
    database_url: str, finish: Path, number: signal.Signals
) -> None:
    async with daemon(database_url, finish) as running:
        await running.until("consuming")
        root_id = await send(database_url)
        await running.until("running")
        running.signal(number)
        await running.until("draining")
        assert not running.said("stopped")
        let_jobs_end(finish)

        assert await running.ended() == 0

    assert running.said("done")
    assert running.said("stopped")
    assert running.rest == []
    assert await own_status(database_url, root_id) is JobStatus.SUCCESS


async def test_the_second_signal_ends_it_at_once_and_what_ran_is_given_back(
    database_url: str, finish: Path
) -> None:
    async with daemon(database_url, finish) as running:
        await running.until("consuming")
        root_id = await send(database_url)
        await running.until("running")
        running.signal(signal.SIGTERM)
        await running.until("draining")
        running.signal(signal.SIGTERM)
        await running.until("stopping_at_once")

        assert await running.ended() != 0

    assert running.rest[-1].endswith("CancelledError")
    assert await own_status(database_url, root_id) is JobStatus.FAILED_REDELIVERED


async def test_a_signal_ends_the_wait_for_a_server(database_url: str, finish: Path) -> None:
    [port] = free_ports(1)
    away = {"MQJOBS_BROKER_URL": f"amqp://127.0.0.1:{port}/", "MQJOBS_CONNECT_TIMEOUT": "600"}
    async with daemon(database_url, finish, **away) as running:
        await running.until("broker_awaited")
        running.signal(signal.SIGTERM)

        assert await running.ended() == 0

    assert running.rest == []


async def test_code_that_goes_on_whatever_it_is_told_does_not_keep_the_process(
    database_url: str, finish: Path
) -> None:
    graces = {"MQJOBS_GRACE": "0", "MQJOBS_STOP_GRACE": "0.1"}
    async with daemon(database_url, finish, program=STUBBORN, **graces) as running:
        await running.until("consuming")
        root_id = await send(database_url)
        await running.until("running")
        running.signal(signal.SIGTERM)

        assert await running.ended() == 0

    assert running.said("left_behind")
    assert await own_status(database_url, root_id) is JobStatus.FAILED_REDELIVERED


async def test_a_service_that_fails_ends_it_with_the_error_last_and_plain(
    database_url: str, finish: Path
) -> None:
    async with daemon(database_url, finish) as running:
        await running.until("consuming")
        connection = await asyncpg.connect(database_url)
        await connection.execute("ALTER TABLE mqjobs.consumer RENAME TO elsewhere")
        await connection.close()

        assert await running.ended() == 1

    assert running.rest[-1] == (
        'asyncpg.exceptions.UndefinedTableError: relation "mqjobs.consumer" does not exist'
    )
