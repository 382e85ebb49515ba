"""Vitals: looks at this consumer process once a second, and makes a snapshot of what it sees."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from mqjobs.app.snapshot import BETWEEN_LOOKS, LOOP, Check, Phase, Snapshot, loop_late_by
from mqjobs.model.errors import SchemaMismatch
from mqjobs.runtime.consumer import Consumer
from mqjobs.runtime.limits import resident_bytes
from mqjobs.store import migrations, outbox

log = structlog.get_logger(__name__)

UNTIL_READY = timedelta(seconds=0.1)
BETWEEN_PROBES = timedelta(seconds=2)
PROBE_TIMEOUT = timedelta(seconds=5)
TICK = timedelta(seconds=0.1)
LOOKS_AT_LAG = 10
HELD_UP = 1.0
QUIET = 10.0
LONG_FLUSH = 10.0


@dataclass(frozen=True, slots=True)
class _Probe:
    """What the database said."""

    database: Check
    schema: Check
    outbox_age: float = 0.0


NOT_ASKED = Check(ok=False, says="not asked yet")


class Vitals:
    """Watches one consumer; each snapshot is handed to the listeners."""

    def __init__(
        self,
        consumer: Consumer,
        drain: asyncio.Event,
        listeners: Sequence[Callable[[Snapshot], None]],
    ) -> None:
        self._consumer = consumer
        self._drain = drain
        self._listeners = listeners
        self._lags = deque([0.0], maxlen=LOOKS_AT_LAG)
        self._warned_at = -math.inf
        self._probe = _Probe(NOT_ASKED, NOT_ASKED)

    async def watch(self) -> None:
        """Look until cancelled; more often until there is something to do."""
        while True:
            snapshot = self.look()
            for tell in self._listeners:
                tell(snapshot)
            is_early = snapshot.phase is Phase.STARTING or not snapshot.checks["database"].ok
            lag = await _lag_within(UNTIL_READY if is_early else BETWEEN_LOOKS)
            self._lags.append(lag)
            self._warn_of(lag)

    def _warn_of(self, lag: float) -> None:
        now = time.monotonic()
        if lag >= HELD_UP and now - self._warned_at >= QUIET:
            self._warned_at = now
            log.warning("loop_held_up", seconds=round(lag, 1))

    async def probe(self) -> None:
        """Ask the database until cancelled."""
        while True:
            self._probe = await self._ask()
            await asyncio.sleep(BETWEEN_PROBES.total_seconds())

    def look(self) -> Snapshot:
        """How the process is now."""
        consumer = self._consumer
        store, tally = consumer.services.store, consumer.services.tally
        flush = store.longest_wait.total_seconds()
        return Snapshot(
            phase=self._phase,
            checks={
                "broker": _broker(consumer.transport.is_connected),
                "database": self._probe.database,
                "schema": self._probe.schema,
                "flush": Check(ok=flush < LONG_FLUSH, says=f"the oldest write waits {flush:.1f} s"),
                LOOP: loop_late_by(self._lags[-1]),
            },
            gauges={
                "running": consumer.execution.running,
                "concurrency": consumer.pace.concurrency,
                "loop_lag": max(self._lags),
                "flush_wait": flush,
                "outbox_age": self._probe.outbox_age,
                "memory": resident_bytes(),
            },
            counts=[(*what, count) for what, count in tally.counts().items()],
            measures=[(*what, each.count, each.total) for what, each in tally.measures().items()],
        )

    @property
    def _phase(self) -> Phase:
        if self._drain.is_set():
            return Phase.DRAINING
        return Phase.CONSUMING if self._consumer.consuming.is_set() else Phase.STARTING

    async def _ask(self) -> _Probe:
        store = self._consumer.services.store
        try:
            async with (
                asyncio.timeout(PROBE_TIMEOUT.total_seconds()),
                store.pool.acquire() as connection,
            ):
                age = await outbox.oldest_due(connection)
                await migrations.check(connection)
        except SchemaMismatch as error:
            return _Probe(Check(ok=True, says="answers"), Check(ok=False, says=str(error)))
        except Exception as error:  # whatever it is: who looks on ends nothing
            away = Check(ok=False, says=f"does not answer: {str(error) or type(error).__name__}")
            return _Probe(away, self._probe.schema, self._probe.outbox_age)
        return _Probe(
            Check(ok=True, says="answers"),
            Check(ok=True, says="the one that this mqjobs works on"),
            age.total_seconds() if age else 0.0,
        )


async def _lag_within(pause: timedelta) -> float:
    """How late the event loop was at its worst during a pause, in seconds."""
    worst, over_at = 0.0, time.monotonic() + pause.total_seconds()
    while (began := time.monotonic()) < over_at:
        tick = min(TICK.total_seconds(), over_at - began)
        await asyncio.sleep(tick)
        worst = max(worst, time.monotonic() - began - tick)
    return worst


def _broker(is_connected: bool) -> Check:
    return Check(ok=is_connected, says="connected" if is_connected else "not connected")
