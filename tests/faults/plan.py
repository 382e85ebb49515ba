"""The faults by name, and in which combination they come unless others are chosen."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any

from tests.faults import disks, lost_answers, network, postgres, processes, rabbitmq
from tests.faults.arena import Arena

Fault = Callable[[Arena, Random, asyncio.Event], Coroutine[Any, Any, None]]
"""Does harm until the event is set, and has then made everything whole again."""

FAULTS: Mapping[str, Fault] = {
    "kill": processes.kill,
    "freeze": processes.freeze,
    **rabbitmq.FAULTS,
    **postgres.FAULTS,
    **disks.FAULTS,
    **network.FAULTS,
    **lost_answers.FAULTS,
}

WIRED = {*network.FAULTS, *lost_answers.FAULTS}
"""Those that need wires between the run's processes and its servers."""

DEFAULT = ("kill", "freeze")

LONG: Sequence[tuple[str, Sequence[str], float]] = (
    ("rabbitmq", ("kill",), 600),
    ("rabbitmq", ("kill", "freeze"), 480),
    ("postgres", ("kill", "freeze"), 480),
    ("rabbitmq", ("kill", "broker-restart", "database-cut"), 240),
    ("rabbitmq", ("kill", "broker-close", "database-restart"), 240),
    ("rabbitmq", ("kill", "relay-kill", "broker-kill", "database-kill"), 240),
    ("rabbitmq", ("kill", "freeze", "broker-reset", "database-reset"), 240),
)
"""The runs of a long test: over which broker, under which faults, for how many seconds."""
