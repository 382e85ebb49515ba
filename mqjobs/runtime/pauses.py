"""Paused queues: a consumer takes nothing from them, from its start and while it runs."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from mqjobs.runtime.every import every
from mqjobs.store import queues
from mqjobs.store.database import Pool
from mqjobs.store.outages import patiently
from mqjobs.store.queues import Pause
from mqjobs.transport.seam import Inbox

log = structlog.get_logger(__name__)


class Pauses:
    """Which of a consumer's queues are paused, as far as it has heard."""

    def __init__(self, pool: Pool, of: Sequence[str]) -> None:
        self._pool = pool
        self._of = frozenset(of)
        self._known: Mapping[str, Pause] = {}

    @property
    def queues(self) -> frozenset[str]:
        """The queues to take nothing from."""
        return frozenset(self._known)

    async def look(self) -> None:
        """The pauses of now are known; a line says of each queue what has changed."""
        now = await patiently("a look at the pauses", self._read)
        for queue in sorted(now.keys() - self._known.keys()):
            pause = now[queue]
            log.warning("queue_paused", queue=queue, by=pause.paused_by, at=str(pause.paused_at))
        for queue in sorted(self._known.keys() - now.keys()):
            log.info("queue_resumed", queue=queue)
        self._known = now

    async def follow(self, inbox: Inbox, stop: asyncio.Event, interval: timedelta) -> None:
        """Look after each interval until stopped, and have the inbox do as it is said."""
        async for _ in every(interval, stop):
            before = self.queues
            await self.look()
            if self.queues != before:
                inbox.pause(self.queues)

    async def _read(self) -> Mapping[str, Pause]:
        async with self._pool.acquire() as connection:
            found = await queues.pauses(connection)
        return {pause.queue: pause for pause in found if pause.queue in self._of}
