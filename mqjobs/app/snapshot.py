"""A snapshot: how a consumer process is, as it says itself once a second."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

BETWEEN_LOOKS = timedelta(seconds=1)
LOOP = "loop"
LONG_LAG = 5.0


class Phase(StrEnum):
    """What the process is doing with messages."""

    STARTING = "starting"
    CONSUMING = "consuming"
    DRAINING = "draining"


class Check(BaseModel):
    """One thing that has to be right; `says` is how it is."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    says: str


def loop_late_by(seconds: float) -> Check:
    """What there is to say of an event loop that is so late."""
    return Check(ok=seconds < LONG_LAG, says=f"the event loop is late by {seconds:.3f} s")


class Snapshot(BaseModel):
    """What was looked at, counted (count, kind, so many), measured (measure, kind, times, sum) and read off."""

    model_config = ConfigDict(frozen=True)

    phase: Phase
    checks: Mapping[str, Check] = {}
    gauges: Mapping[str, float] = {}
    counts: Sequence[tuple[str, str, int]] = ()
    measures: Sequence[tuple[str, str, int, float]] = ()

    @property
    def is_ready(self) -> bool:
        """It takes messages, and everything that was looked at is right."""
        return self.phase is Phase.CONSUMING and all(check.ok for check in self.checks.values())

    @property
    def status(self) -> str:
        """One line on what it does."""
        bad = [f"{name}: {check.says}" for name, check in self.checks.items() if not check.ok]
        if bad and self.phase is not Phase.DRAINING:
            return f"{self.phase}; {'; '.join(bad)}"
        running = self.gauges.get("running")
        return self.phase if running is None else f"{self.phase}, {running:g} running"
