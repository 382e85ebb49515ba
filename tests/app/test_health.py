"""Health: what is answered, from what the processes told."""

import json
from typing import Any

import pytest

from mqjobs.app import health as health_module
from mqjobs.app.health import Answer, Health
from mqjobs.app.snapshot import Check, Phase, Snapshot

READY = Snapshot(phase=Phase.CONSUMING, checks={"broker": Check(ok=True, says="connected")})
BROKEN = Snapshot(phase=Phase.CONSUMING, checks={"broker": Check(ok=False, says="not connected")})


def document(answer: Answer) -> Any:
    assert answer.kind == "application/json"
    return json.loads(answer.text)


def test_ready_is_the_process_that_says_so() -> None:
    health = Health()
    assert health.ready().status == 503

    health.hear(1, READY)

    assert health.ready().status == 200
    [process] = document(health.ready())["processes"].values()
    assert process["checks"] == {"broker": {"ok": True, "says": "connected"}}
    assert (process["phase"], process["ready"]) == ("consuming", True)


def test_one_check_that_is_bad_is_enough_and_is_named() -> None:
    health = Health()
    health.hear(1, BROKEN)

    assert health.ready().status == 503
    assert document(health.ready())["processes"]["1"]["checks"]["broker"]["says"] == "not connected"


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING])
def test_who_takes_no_messages_is_not_ready(phase: Phase) -> None:
    health = Health()
    health.hear(1, READY.model_copy(update={"phase": phase}))

    assert health.ready().status == 503


def test_of_several_processes_all_have_to_be_ready() -> None:
    health = Health(processes=2)
    health.hear(1, READY)
    assert (health.ready().status, health.ready_processes) == (503, 1)

    health.hear(2, READY)
    assert (health.ready().status, health.ready_processes) == (200, 2)

    health.forget(1)
    assert (health.ready().status, health.ready_processes) == (503, 1)
    assert list(health.snapshots()) == ["2"]


class Clock:
    """What the time is, for those who ask in other threads, too."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "live", "ready"),
    [(5.9, 200, 200), (6.1, 200, 503), (9.9, 200, 503), (10, 503, 503)],
)
def test_who_tells_nothing_for_long_is_held_up_and_for_longer_is_not_live(
    monkeypatch: pytest.MonkeyPatch, seconds: float, live: int, ready: int
) -> None:
    clock = Clock()
    monkeypatch.setattr(health_module, "time", clock)
    health = Health()
    health.hear(1, READY)
    health.turn()
    assert (health.live().status, health.ready().status) == (200, 200)

    clock.now += seconds
    assert (health.live().status, health.ready().status) == (live, ready)
    assert health.ready_processes == (ready == 200)

    health.hear(1, READY)
    assert health.ready().status == 200


def test_how_late_it_is_stands_in_the_answer_while_it_is_held_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(health_module, "time", clock)
    health = Health()
    health.hear(1, READY)
    clock.now += 16

    checks = document(health.ready())["processes"]["1"]["checks"]
    assert checks["loop"] == {"ok": False, "says": "the event loop is late by 15.000 s"}
    assert checks["broker"]["ok"] is True


def test_a_parent_is_counted_with_its_children() -> None:
    health = Health(processes=2)
    health.hear(2, READY)
    health.turn(BROKEN)

    assert health.snapshots() == {"2": READY, "parent": BROKEN}
    assert set(document(health.ready())["processes"]) == {"1", "2"}
