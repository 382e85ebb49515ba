"""The parent: what becomes of children that do not do as they are told."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from mqjobs.app import parent as parent_module
from mqjobs.app.app import App
from mqjobs.app.child import Child, how_it_ended
from mqjobs.app.exits import Exit
from mqjobs.app.orders import Orders
from mqjobs.app.parent import Parent
from mqjobs.app.settings import Settings
from tests.support.topics import Note
from tests.support.waiting import eventually

DEAF = """
import time
from pathlib import Path

from mqjobs import App
from tests.support.processors import acting

async def act(message, context):
    Path("running").touch()
    time.sleep(600)

app = App()
app.subscribe(acting(act))
"""


@pytest.fixture
def settings(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of an app whose processor holds the event loop up for good, in the current folder."""
    (tmp_path / "deaf.py").write_text(DEAF)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(parent_module, "BEYOND_GRACE", timedelta(seconds=3))
    monkeypatch.setattr(parent_module, "TO_STOP_AT_ONCE", timedelta(seconds=0.2))
    return Settings(database_url=database_url, processes=2, grace=timedelta(seconds=0.1))


@asynccontextmanager
async def running(settings: Settings, orders: Orders) -> AsyncIterator["asyncio.Task[Exit]"]:
    """A parent with a child that is held up, and another one."""
    flags = {"app": "deaf:app", "database_url": settings.database_url, "log_level": "error"}
    parent = Parent(settings, ["consume"], flags, orders)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(parent.run())
        await eventually(
            lambda: parent.health.ready_processes == 2, within=timedelta(seconds=40), what="two"
        )
        app = App(settings)
        app.sends(Note)
        async with app.open() as mq:
            await mq.producer.send(Note())
        await eventually(Path("running").exists, what="the processor's run")
        yield task


def killed(lines: list[Any]) -> int:
    return sum(line["event"] == "child_killed" for line in lines)


async def test_who_does_not_end_after_the_grace_is_killed_and_the_parent_ends_as_failed(
    settings: Settings,
) -> None:
    orders = Orders()
    with capture_logs() as lines:
        async with running(settings, orders) as parent:
            orders.begin_draining("the test")
            assert await parent is Exit.FAILED

    assert killed(lines) == 1


async def test_who_does_not_end_at_once_is_killed(settings: Settings) -> None:
    orders = Orders()
    with capture_logs() as lines:
        async with running(settings, orders) as parent:
            orders.stop_at_once("the test")
            assert await parent is Exit.STOPPED

    assert killed(lines) >= 1


async def test_a_child_that_was_killed_in_the_middle_of_a_word_is_listened_to_till_there() -> None:
    consumer_id = uuid4()
    ours, its = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    child = Child(1, await asyncio.create_subprocess_exec("true"), reader, writer)
    its.sendall(f'{{"consumer_id": "{consumer_id}"}}\n{{"snapsh'.encode())
    its.close()

    await child.listen()

    assert child.consumer_id == consumer_id
    assert await child.ended() == 0


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert how_it_ended(-signal.SIGKILL) == "killed by SIGKILL"
    assert how_it_ended(-(signal.SIGRTMIN + 1)) == f"killed by signal {signal.SIGRTMIN + 1}"


async def test_a_process_that_cannot_be_started_now_is_tried_again_until_told_to_drain(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the system has no room for one more."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    orders = Orders()
    parent = Parent(Settings(database_url=database_url), ["consume"], {}, orders)
    with capture_logs() as lines:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            running = group.create_task(parent.run())
            await eventually(
                lambda: sum(each["event"] == "child_not_started" for each in lines) > 1
            )
            orders.begin_draining("the test")

    assert running.result() is Exit.OK
