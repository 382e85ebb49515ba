"""A daemon of several processes, seen as one: signals, health port and service manager of the parent."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from mqjobs.app.exits import Exit
from mqjobs.app.health_port import answering
from mqjobs.app.orders import Orders
from mqjobs.app.parent import Parent
from mqjobs.app.settings import Settings
from mqjobs.app.snapshot import BETWEEN_LOOKS, Check, Phase, Snapshot
from mqjobs.app.systemd import Systemd
from mqjobs.transport.background import in_background

log = structlog.get_logger(__name__)


async def supervise(settings: Settings, words: Sequence[str], flags: Mapping[str, Any]) -> Exit:
    """Run `mqjobs` with these words and flags in so many processes, until told to drain; what to exit with."""
    orders, systemd = Orders(), Systemd()
    parent = Parent(settings, words, flags, orders)
    with (
        orders.heard(),
        answering(parent.health, settings.health_host, settings.health_port),
    ):
        async with in_background(_look(parent, orders, systemd), systemd.beat()):
            code = await parent.run()
    systemd.hear(_snapshot(parent, orders))
    log.info("stopped", exit_code=int(code))
    return code


async def _look(parent: Parent, orders: Orders, systemd: Systemd) -> None:
    while True:
        snapshot = _snapshot(parent, orders)
        parent.health.turn(snapshot)
        systemd.hear(snapshot)
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds())


def _snapshot(parent: Parent, orders: Orders) -> Snapshot:
    """The daemon as a whole: it consumes when all of its processes do."""
    ready, wanted = parent.health.ready_processes, parent.processes
    phase = Phase.CONSUMING if ready else Phase.STARTING
    return Snapshot(
        phase=Phase.DRAINING if orders.drain.is_set() else phase,
        checks={"processes": Check(ok=ready == wanted, says=f"{ready} of {wanted} are ready")},
        counts=[(*what, count) for what, count in parent.tally.counts().items()],
    )
