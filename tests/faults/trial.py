"""A trial: one harm after the other under load, how soon each consumer works again, and one reckoning."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

from tests.faults.arena import Arena, arena
from tests.faults.checker import Findings
from tests.faults.harm import Harm
from tests.faults.ledger import What, read
from tests.faults.runner import Wish, reckon, under_load
from tests.faults.wires import Wires
from tests.support.servers import Broker, Postgres
from tests.support.waiting import eventually

BACK_WITHIN = timedelta(seconds=10)
"""After a harm has ended, every consumer works again before so much time is over."""

SLOW_MACHINE = timedelta(seconds=20)
"""How much longer is waited, so that what is slow is told apart from what never comes."""


@dataclass
class Trial:
    """Harm is done in it, one after the other."""

    arena: Arena
    seed: int
    count: int
    recoveries: dict[str, float] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)

    @asynccontextmanager
    async def under(self, harm: Harm, name: str) -> AsyncIterator[None]:
        """Every consumer works, then the harm is done during the block; after it, every consumer works again."""
        await self.all_work()
        self.arena.ledger.write(What.FAULT, name=name)
        async with harm(self.arena, Random(f"{self.seed}.{name}")):
            yield
        self.arena.ledger.write(What.FAULT, name=f"{name} has ended")
        self.recoveries[name] = await self.all_work(what=f"work after {name}")

    async def all_work(self, what: str = "work") -> float:
        """Each living consumer has begun with something that it was not at before; after how many seconds."""
        began = time.monotonic()
        await eventually(
            lambda: self._living() <= self._started(since=began),
            within=BACK_WITHIN + SLOW_MACHINE,
            what=f"{what} of {sorted(self._living())}",
        )
        return time.monotonic() - began

    def _living(self) -> set[str]:
        living = {process.id for process in self.arena.consumers.living()}
        assert len(living) == self.count, f"{living} of {self.count} live: see {self.arena.folder}"
        return living

    def _started(self, since: float) -> set[str]:
        return {
            event.by
            for event in read(self.arena.folder)
            if event.what is What.START and event.at > since
        }


@asynccontextmanager
async def trial(
    folder: Path,
    postgres: Postgres,
    broker: Broker,
    *,
    seed: int = 1,
    consumers: int = 2,
    rate: float = 40,
    **variables: str,
) -> AsyncIterator[Trial]:
    """Consumers under load; at the end all that is forbidden is 0, and no recovery has taken longer than it may."""
    async with (
        Wires.to(postgres.url, broker.url) as wires,
        arena(folder, postgres=postgres, broker=broker, wires=wires, **variables) as place,
    ):
        await place.consuming(consumers)
        twice: set[str] = set()
        on_trial = Trial(place, seed, consumers)
        async with under_load(place, Wish(0, seed, rate, tree=30), twice):
            yield on_trial
        on_trial.findings = findings = await reckon(place, twice)
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in on_trial.recoveries.items())
    print(f"\nworking again: {told}\n{findings.counts}")
    assert findings.clean, _told(findings)
    late = {
        name: seconds
        for name, seconds in on_trial.recoveries.items()
        if seconds > BACK_WITHIN.total_seconds()
    }
    assert not late, f"working again too late: {late}"


def written(folder: Path) -> str:
    """All that the consumers have written."""
    return "".join(log.read_text("utf-8") for log in folder.glob("consumer-*.log"))


def _told(findings: Findings) -> str:
    found = {name: found[:5] for name, found in findings.forbidden.items() if found}
    return "\n".join(f"{name}: {each}" for name, some in found.items() for each in some)
