"""A consumer of several processes: as a shell starts it, and as an operator kills it."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mqjobs.model.status import JobStatus
from tests.support.http import ask
from tests.support.servers.network import free_ports
from tests.support.shell import Shell
from tests.support.stored_jobs import StoredJobs
from tests.support.waiting import eventually

LONG = timedelta(seconds=40)
NOBODY_AGES = {
    "MQJOBS_HEARTBEAT_INTERVAL": "600",
    "MQJOBS_DEAD_AFTER": "3600",
    "MQJOBS_REAP_INTERVAL": "600",
}


class Family:
    """A parent and its children, and all that they wrote."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.rest: list[str] = []

    async def listen(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            text = line.decode()
            if text.startswith("{"):
                self.lines.append(json.loads(text))
            else:
                self.rest.append(text.rstrip())

    def all(self, event: str) -> list[dict[str, Any]]:
        """The lines of this event."""
        return [line for line in self.lines if line["event"] == event]

    async def wrote(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """There are so many lines of this event."""
        await eventually(
            lambda: len(self.all(event)) >= count,
            within=LONG,
            what=f"{count} × {event} in {self.lines} {self.rest}",
        )
        return self.all(event)

    async def consumes(self, processes: int) -> None:
        """The parent has said what it starts, and so many children that they consume."""
        await self.wrote("starting")
        await self.wrote("consuming", processes)

    @property
    def children(self) -> dict[int, int]:
        """The process that runs under each number, or ran last."""
        return {line["process"]: line["child_pid"] for line in self.all("child_started")}

    async def ended(self) -> int:
        """The parent's exit code."""
        async with asyncio.timeout(LONG.total_seconds()):
            return await self.process.wait()

    async def is_all_gone(self) -> None:
        """No child is left."""
        children = [line["child_pid"] for line in self.all("child_started")]
        await eventually(
            lambda: not any(is_there(pid) for pid in children),
            within=LONG,
            what="all children's end",
        )


def is_there(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def words_of(pid: int) -> list[str]:
    """What `ps` shows of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def put_before(shell: Shell, code: str) -> None:
    """This is how the app's module begins."""
    app = shell.folder / "shop.py"
    app.write_text(code + app.read_text())


@asynccontextmanager
async def started(shell: Shell, words: Sequence[str], **variables: str) -> AsyncIterator[Family]:
    """`mqjobs consume` with these words; nothing of it outlives the block."""
    process = await shell.start(["consume", *words, "--log-format", "json"], variables)
    family = Family(process)
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(family.listen())
        try:
            yield family
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            for line in family.all("child_started"):
                if is_there(line["child_pid"]):
                    os.kill(line["child_pid"], signal.SIGKILL)
            await asyncio.wait([listening], timeout=10)
            listening.cancel()


async def running_pid(stored: StoredJobs, root_id: int) -> int | None:
    """The process that runs the root's own child."""
    pid: int | None = await stored.connection.fetchval(
        "SELECT consumer.pid FROM mqjobs.job JOIN mqjobs.consumer ON consumer.id = job.consumer_id"
        " WHERE job.root_id = $1 AND job.status = 'running'",
        root_id,
    )
    return pid


async def a_running_job(shell: Shell, stored: StoredJobs) -> tuple[int, int]:
    """A job that does not end: its root, and the process that runs it."""
    sent = await shell("send", "shop.reindex", '{"collection": "a"}', "--json")
    root_id = sent.json["job_id"]
    await eventually(lambda: running_pid(stored, root_id), within=LONG, what="the job's run")
    pid = await running_pid(stored, root_id)
    assert pid is not None
    return root_id, pid


async def test_the_parent_says_what_is_consumed_once_and_drains_with_its_children(
    shell: Shell,
) -> None:
    async with started(shell, ["prices", "--processes", "3", "--concurrency", "2"]) as family:
        await family.consumes(3)
        [banner], children = family.all("starting"), family.all("consuming")
        assert family.lines.index(banner) < family.lines.index(family.all("child_started")[0])
        family.process.send_signal(signal.SIGTERM)
        assert await family.ended() == 0
        await family.is_all_gone()

    assert (banner["processes"], banner["queues"], banner["concurrency"]) == (3, ["prices"], 2)
    assert sorted(line["process"] for line in children) == [1, 2, 3]
    assert all(
        set(line) == {"event", "process", "consumer_id", "level", "logger", "timestamp"}
        for line in children
    )
    assert family.rest == []


async def test_flags_reach_the_children_and_their_command_lines_show_none(
    shell: Shell, database_url: str
) -> None:
    words = ["--processes", "2", "--database-url", database_url, "--app", "shop:app"]
    nothing = {"MQJOBS_DATABASE_URL": "postgresql://127.0.0.1:1/nothing", "MQJOBS_APP": "no:app"}
    async with started(shell, words, **nothing) as family:
        await family.consumes(2)
        for pid in family.children.values():
            assert words_of(pid)[1:] == ["-m", "mqjobs", "consume"]


async def test_the_jobs_of_a_child_that_dies_run_again_without_waiting_for_its_heartbeat(
    shell: Shell, stored: StoredJobs
) -> None:
    async with started(shell, ["--processes", "2"], **NOBODY_AGES) as family:
        await family.consumes(2)
        root_id, first = await a_running_job(shell, stored)
        loop = asyncio.get_running_loop()
        os.kill(first, signal.SIGKILL)
        killed_at = loop.time()

        async def runs_again() -> bool:
            return await running_pid(stored, root_id) not in {None, first}

        await eventually(runs_again, what="the job's second run")
        assert loop.time() - killed_at < 10

        [lost] = await family.wrote("child_lost")
        assert (lost["child_pid"], lost["how"]) == (first, "killed by SIGKILL")
        await family.wrote("child_started", 3)
        assert set(family.children) == {1, 2}


async def test_children_whose_parent_is_killed_drain(shell: Shell) -> None:
    async with started(shell, ["--processes", "2"]) as family:
        await family.consumes(2)
        family.process.kill()
        await family.is_all_gone()
        await family.wrote("stopped", 2)

    assert [line["why"] for line in family.all("draining")] == ["the parent is gone"] * 2


@pytest.mark.parametrize("last", [signal.SIGINT, signal.SIGQUIT])
async def test_the_second_signal_stops_all_at_once_and_what_ran_is_given_back(
    shell: Shell, stored: StoredJobs, last: signal.Signals
) -> None:
    async with started(shell, ["--processes", "2", "--grace", "60"]) as family:
        await family.consumes(2)
        root_id, _ = await a_running_job(shell, stored)
        if last is not signal.SIGQUIT:
            family.process.send_signal(signal.SIGTERM)
            await family.wrote("draining", 3)
        family.process.send_signal(last)
        assert await family.ended() == 130
        await family.is_all_gone()
        await family.wrote("stopped", 3)

    [stopping] = family.all("stopping_what_runs")
    assert "grace_s" not in stopping
    first = [] if last is signal.SIGQUIT else ["draining"]
    for process in (None, stopping["process"]):
        events = [line["event"] for line in family.lines if line.get("process") == process]
        leaving = [event for event in events if event in LEAVING]
        assert leaving == [*first, "stopping_at_once", "stopped"]
    assert len(family.all("stopped")) == 3
    assert family.rest == []
    assert await stored.status(root_id) is JobStatus.RUNNING
    [own] = await stored.connection.fetch(
        "SELECT status FROM mqjobs.job WHERE root_id = $1", root_id
    )
    assert own["status"] == "failed_redelivered"


LEAVING = ("draining", "stopping_at_once", "stopped")


async def test_a_signal_to_all_of_them_is_one_order(shell: Shell, stored: StoredJobs) -> None:
    async with started(shell, ["--processes", "2", "--grace", "1"]) as family:
        await family.consumes(2)
        await a_running_job(shell, stored)
        for pid in [*family.children.values(), family.process.pid]:
            os.kill(pid, signal.SIGTERM)
        assert await family.ended() == 0

    assert family.all("stopping_at_once") == []
    assert [line["grace_s"] for line in family.all("stopping_what_runs")] == [1.0]


async def test_an_app_that_cannot_be_imported_is_said_once(shell: Shell) -> None:
    put_before(shell, "raise RuntimeError('boom')\n")

    async with started(shell, ["--processes", "3"]) as family:
        assert await family.ended() == 2

    assert "\n".join(family.rest).count("RuntimeError: boom") == 1
    assert family.all("child_started") == []


async def test_what_only_the_children_cannot_do_is_said_once_and_ends_the_parent_alike(
    shell: Shell,
) -> None:
    put_before(shell, BROKEN_IN_CHILDREN)

    async with started(shell, ["--processes", "3"]) as family:
        assert await family.ended() == 2

    assert "\n".join(family.rest).count("RuntimeError: boom") == 1
    assert len(family.all("child_started")) == 1


BROKEN_IN_CHILDREN = """
from pathlib import Path

if Path("seen").exists():
    raise RuntimeError("boom")
Path("seen").touch()
"""


async def test_servers_that_are_not_there_end_the_parent_with_their_code(shell: Shell) -> None:
    [port] = free_ports(1)
    broker = {"MQJOBS_BROKER_URL": f"amqp://guest:secret@127.0.0.1:{port}/"}
    async with started(shell, ["--processes", "2", "--connect-timeout", "1"], **broker) as family:
        assert await family.ended() == 3

    assert len([line for line in family.rest if line.startswith("Error: no RabbitMQ at")]) == 1
    assert "secret" not in f"{family.rest} {family.lines}"


async def test_what_dies_again_and_again_is_started_less_and_less_often(
    shell: Shell,
) -> None:
    put_before(shell, DYING_IN_CHILDREN)

    async with started(shell, ["--processes", "2"]) as family:
        lost = await family.wrote("child_lost", 4)
        assert [line["again_in_s"] for line in lost][:4] == [0.1, 0.2, 0.4, 0.8]
        assert {line["how"] for line in lost} == {"exit code 7"}
        family.process.send_signal(signal.SIGTERM)
        assert await family.ended() in {0, 1}


DYING_IN_CHILDREN = """
import os
from pathlib import Path

if Path("seen").exists():
    os._exit(7)
Path("seen").touch()
"""


async def test_a_child_that_has_reached_a_limit_is_started_anew(
    shell: Shell, stored: StoredJobs
) -> None:
    async with started(shell, ["--processes", "2", "--message-limit", "1"]) as family:
        await family.consumes(2)
        for _ in range(3):
            assert (await shell("send", "shop.price")).code == 0
        await family.wrote("done", 3)
        await family.wrote("child_started", 5)
        assert {line["limit"] for line in family.all("limit_reached")} == {"messages"}
        assert {line["how"] for line in family.all("child_ended")} == {"exit code 0"}
        assert family.all("child_lost") == []
        family.process.send_signal(signal.SIGTERM)
        assert await family.ended() == 0


async def test_the_parent_answers_for_all_of_them(shell: Shell, stored: StoredJobs) -> None:
    [port] = free_ports(1)
    async with started(shell, ["--processes", "2", "--health-port", str(port)]) as family:

        async def ready() -> dict[str, bool] | None:
            answer = await ask(port, "/ready")
            if answer.status == 0:
                return None
            processes = {n: each["ready"] for n, each in answer.json["processes"].items()}
            assert (answer.status == 200) == all(processes.values())
            return processes

        async def is_whole() -> bool:
            return await ready() == {"1": True, "2": True}

        async def is_without_one() -> bool:
            return await ready() == {"1": False, "2": True}

        await eventually(is_whole, within=LONG, what="readiness")
        assert (await ask(port, "/live")).status == 200
        os.kill(family.children[1], signal.SIGKILL)
        await eventually(is_without_one, what="that one is missing")
        await eventually(is_whole, within=LONG, what="readiness")

        served = (await ask(port, "/metrics")).text
        assert 'mqjobs_children_lost_total{kind="1",process="parent"} 1.0' in served
        assert 'mqjobs_running{process="1"} 0.0' in served
        assert 'mqjobs_running{process="2"} 0.0' in served
