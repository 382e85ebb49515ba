"""Vitals: what a consumer's snapshot says, and what it notices."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from mqjobs.app import snapshot as snapshot_module
from mqjobs.app import vitals as vitals_module
from mqjobs.app.snapshot import Phase, Snapshot
from mqjobs.app.vitals import Vitals
from mqjobs.transport.background import in_background
from tests.support.consuming import Consuming, Running, Stage
from tests.support.processors import Gate, Hearing, unique
from tests.support.topics import Note, Work
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals_module, "BETWEEN_LOOKS", timedelta(seconds=0.05))
    monkeypatch.setattr(vitals_module, "BETWEEN_PROBES", timedelta(seconds=0.05))
    monkeypatch.setattr(vitals_module, "PROBE_TIMEOUT", timedelta(seconds=1))


class Watched:
    """The vitals of one consumer, and the newest snapshot."""

    def __init__(self, consumer: Consuming) -> None:
        self.told: list[Snapshot] = []
        self.vitals = Vitals(consumer.consumer, consumer.stop, [self.told.append])

    @property
    def now(self) -> Snapshot:
        return self.told[-1]

    async def is_ready(self) -> None:
        await eventually(lambda: self.told and self.now.is_ready, what="readiness")

    async def late(self) -> Snapshot:
        """One of those told finds the loop late."""
        found: list[Snapshot] = []

        def is_late() -> bool:
            found[:] = [each for each in self.told if not each.checks["loop"].ok]
            return bool(found)

        await eventually(is_late, what="a loop that is late")
        return found[0]

    async def says(self, check: str, words: str) -> None:
        await eventually(
            lambda: not self.now.checks[check].ok and words in self.now.checks[check].says,
            what=f"{words} of {check} in {self.now}",
        )


@asynccontextmanager
async def watched(mq: Running) -> AsyncIterator[Watched]:
    [consumer] = mq.consumers
    watched = Watched(consumer)
    async with in_background(watched.vitals.watch(), watched.vitals.probe()):
        yield watched


@pytest.fixture
def stage(database_url: str) -> Stage:
    return Stage(database_url)


async def test_a_consumer_is_ready_when_it_consumes_and_no_more_when_it_drains(
    stage: Stage,
) -> None:
    async with stage.running(Hearing(Note)) as mq, watched(mq) as looked:
        await looked.is_ready()
        assert looked.now.phase is Phase.CONSUMING
        mq.consumers[0].stop.set()
        await eventually(lambda: looked.now.phase is Phase.DRAINING)
        assert not looked.now.is_ready


async def test_it_says_how_much_runs_and_what_attempts_came_to(stage: Stage) -> None:
    gate = Gate()
    async with (
        stage.running(Hearing(Note), unique(gate), concurrency=7) as mq,
        watched(mq) as looked,
    ):
        await mq.send(Work())
        await gate.reached(1)
        await mq.send(Note())
        await mq.attempts(1)
        await eventually(lambda: looked.now.gauges["running"] == 1)
        assert looked.now.gauges["concurrency"] == 7
        await eventually(lambda: ("attempts", "done", 1) in looked.now.counts)
        assert any(each[:3] == ("attempt_seconds", "done", 1) for each in looked.now.measures)
        assert any(each[:2] == ("flush_seconds", "claims") for each in looked.now.measures)
        assert any(each[:2] == ("flush_size", "claims") for each in looked.now.measures)
        gate.open()


async def test_an_event_loop_that_was_held_up_is_late(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage.running(Hearing(Note)) as mq, watched(mq) as looked:
        await looked.is_ready()
        monkeypatch.setattr(snapshot_module, "LONG_LAG", 0.3)
        time.sleep(0.5)  # noqa: ASYNC251  it is to be held up
        late = await looked.late()
        assert "late by 0." in late.checks["loop"].says
        assert late.gauges["loop_lag"] >= 0.3
        await looked.is_ready()


async def test_a_loop_that_was_held_up_is_warned_of_once_when_it_turns(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitals_module, "HELD_UP", 0.5)
    monkeypatch.setattr(snapshot_module, "LONG_LAG", 0.5)
    with capture_logs() as lines:
        async with stage.running(Hearing(Note)) as mq, watched(mq) as looked:
            await looked.is_ready()
            for _ in range(2):
                time.sleep(0.8)  # noqa: ASYNC251  it is to be held up
                await looked.late()
                looked.told.clear()
            monkeypatch.setattr(vitals_module, "QUIET", 0.0)
            time.sleep(0.8)  # noqa: ASYNC251  it is to be held up
            await looked.late()

    first, last = [line for line in lines if line["event"] == "loop_held_up"]
    assert (first["log_level"], last["log_level"]) == ("warning", "warning")
    assert first["seconds"] >= 0.5


async def test_a_write_that_waits_long_is_bad(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    async with stage.running(unique(gate)) as mq, watched(mq) as looked:
        await looked.is_ready()
        monkeypatch.setattr(vitals_module, "LONG_FLUSH", 0.2)
        async with mq.app.database.acquire() as connection, connection.transaction():
            await mq.send(Work())
            await gate.reached(1)
            await connection.execute("LOCK TABLE mqjobs.job IN ACCESS EXCLUSIVE MODE")
            gate.open()
            await looked.says("flush", "the oldest write waits")
        await looked.is_ready()


async def test_a_database_that_does_not_answer_is_bad(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage.running(Hearing(Note)) as mq, watched(mq) as looked:
        await looked.is_ready()
        with monkeypatch.context() as patch:
            patch.setattr(mq.consumers[0].consumer.services.store, "pool", Away())
            await looked.says("database", "does not answer")
        await looked.is_ready()


class Away:
    """A pool whose server is away."""

    def acquire(self) -> object:
        raise ConnectionRefusedError("nobody is there")


async def test_a_schema_of_another_version_is_bad(stage: Stage) -> None:
    async with stage.running(Hearing(Note)) as mq, watched(mq) as looked:
        await looked.is_ready()
        await mq.execute("UPDATE mqjobs.schema_version SET version = 0")
        await looked.says("schema", "run mqjobs migrate")
        await mq.execute("UPDATE mqjobs.schema_version SET version = 1")


async def test_the_oldest_message_in_the_outbox_has_an_age(stage: Stage) -> None:
    async with stage.running(Hearing(Note), consumers=1) as mq, watched(mq) as looked:
        await looked.is_ready()
        await mq.execute(
            "INSERT INTO mqjobs.message (message_id, topic, queue, body, headers, priority, available_at, sent_at)"
            " VALUES (gen_random_uuid(), 'a', 'elsewhere', '{}', '{}', 2, now() - interval '1 min', now())"
        )
        await eventually(lambda: looked.now.gauges["outbox_age"] > 50)
