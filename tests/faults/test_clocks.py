"""The wall clock of clients: wherever it jumps, nothing changes."""

import asyncio
import json
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.arena import arena
from tests.faults.clocks import STEP, stepped_clock
from tests.faults.consumers import Process
from tests.faults.report import told
from tests.faults.runner import Wish, reckon, under_load

pytestmark = pytest.mark.timeout(300)  # a run waits up to two minutes until all is quiet

JUMPS = 6.0
EXPIRED = "SELECT count(*) FROM mqjobs.message WHERE dead_reason = 'expired'"


async def test_a_wall_clock_that_is_stepped_by_an_hour_changes_nothing(
    tmp_path: Path, postgres_url: str, amqp_url: str
) -> None:
    clock = await asyncio.to_thread(stepped_clock, tmp_path / "clock")
    async with arena(
        tmp_path / "run", postgres=postgres_url, broker=amqp_url, PYTHONPATH=clock
    ) as place:
        await place.consuming(2)
        async with under_load(place, Wish(JUMPS, seed=3, rate=40, tree=30), twice := set[str]()):
            await asyncio.sleep(JUMPS)
        [one, other] = place.consumers.living()
        findings = await reckon(place, twice)
        async with place.connected() as connection:
            expired = await connection.fetchval(EXPIRED)

    assert findings.clean, told(findings)
    assert findings.counts["runs of jobs"] > 0
    assert findings.counts["run again after a death or a stop"] == 0
    assert expired == 0
    assert largest_step(one) > STEP / 2
    assert largest_step(other) > STEP / 2


def largest_step(process: Process) -> float:
    """By how many seconds the process's clock jumped, as its log tells."""
    times = [
        datetime.fromisoformat(json.loads(line)["timestamp"])
        for line in process.log.read_text("utf-8").splitlines()
    ]
    return max(abs((after - before).total_seconds()) for before, after in pairwise(times))
