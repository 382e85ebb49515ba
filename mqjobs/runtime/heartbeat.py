"""The heartbeat: says that this consumer lives, and hears what it may not go on with."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from mqjobs.model.outcome import StopReason
from mqjobs.processing.services import Services
from mqjobs.runtime.every import every
from mqjobs.store import consumers
from mqjobs.store.consumers import ConsumerInfo
from mqjobs.store.outages import patiently
from mqjobs.store.own_connection import OwnConnection

log = structlog.get_logger(__name__)

TRIES_IN_A_LIFE = 5
CLOCK_RESOLUTION = 0.001
LONGEST_TRY = timedelta(seconds=10)


class Heartbeat:
    """Keeps this consumer's row alive, and stops runs whose leases are lost or that were interrupted.

    Each of its loops has a connection of its own and waits for no answer for long. When nobody has heard a beat for
    so long that others are about to take over what runs here, it is stopped: before they do, for nothing runs twice.
    The time counts from the moment at which the last beat that was heard set out.
    """

    def __init__(
        self,
        services: Services,
        consumer: ConsumerInfo,
        connect: Callable[[], OwnConnection],
        alive_for: timedelta,
    ) -> None:
        self._services = services
        self._runs = services.runs
        self._consumer = consumer
        self._alive_for = alive_for
        self._beats, self._looks = connect(), connect()
        self._end_of_life: asyncio.TimerHandle | None = None
        self._is_cut_off = False

    async def begin(self) -> None:
        """The consumer is known."""
        await patiently("the consumer's registration", self._register)

    async def end(self) -> None:
        """The consumer is gone."""
        if self._end_of_life is not None:
            self._end_of_life.cancel()
        async with self._beats.kept():
            await self._beats.ask(
                lambda each: consumers.deregister(each, self._consumer.id), at_most=self._at_most
            )

    async def beat(self, stop: asyncio.Event, interval: timedelta) -> None:
        """Beat after each interval until stopped; declared dead, stop what runs and begin anew."""
        async with self._beats.kept():
            async for _ in every(interval, stop):
                if not await patiently("the heartbeat", self._beat):
                    await self._begin_anew()

    async def watch(self, stop: asyncio.Event, interval: timedelta) -> None:
        """Look after the runs held here after each interval until stopped."""
        async with self._looks.kept():
            async for _ in every(interval, stop):
                self._stop_what_is_not_trusted()
                if self._runs.leases():
                    await patiently("the watch", self._watch)

    @property
    def _at_most(self) -> timedelta:
        """How long a try may take: while there is something to lose, there is time for another one."""
        part = TRIES_IN_A_LIFE if self._runs.are_trusted else 1
        return min(self._alive_for / part, LONGEST_TRY)

    async def _register(self) -> None:
        set_out = time.monotonic()
        await self._beats.ask(
            lambda each: consumers.register(each, self._consumer, self._alive_for),
            at_most=self._at_most,
        )
        self._live_on_from(set_out)

    async def _beat(self) -> bool:
        set_out = time.monotonic()
        now = await self._beats.ask(
            lambda each: consumers.beat(
                each, self._consumer.id, self._alive_for, is_full=self._runs.is_full
            ),
            at_most=self._at_most,
        )
        if now is None:
            return False
        self._services.envelopes.clock.set(now)
        self._live_on_from(set_out)
        return True

    def _live_on_from(self, set_out: float) -> None:
        trusted_for = self._alive_for - self._alive_for / TRIES_IN_A_LIFE
        trusted_until = set_out + trusted_for.total_seconds()
        self._runs.trust_until(trusted_until)
        if self._is_cut_off and self._runs.are_trusted:
            self._is_cut_off = False
            log.info("alive_again", consumer_id=str(self._consumer.id))
        if self._end_of_life is not None:
            self._end_of_life.cancel()
        self._end_of_life = asyncio.get_running_loop().call_later(
            trusted_until - time.monotonic() + CLOCK_RESOLUTION, self._stop_what_is_not_trusted
        )

    def _stop_what_is_not_trusted(self) -> None:
        if not self._runs.are_trusted:
            self._stop_all("cut_off")

    async def _begin_anew(self) -> None:
        self._runs.trust_until(time.monotonic())
        self._stop_all("declared_dead")
        await self.begin()

    def _stop_all(self, event: str) -> None:
        leases = self._runs.leases()
        for job_id, lease in leases.items():
            self._runs.stop(job_id, lease, StopReason.LEASE_LOST)
        if not self._is_cut_off:
            self._is_cut_off = True
            log.warning(event, consumer_id=str(self._consumer.id), stopped=len(leases))

    async def _watch(self) -> None:
        to_stop = await self._looks.ask(
            lambda each: consumers.look_after(each, self._runs.leases()), at_most=self._at_most
        )
        for (job_id, lease), reason in to_stop.items():
            if self._runs.stop(job_id, lease, reason):
                log.info("run_stopped", job_id=job_id, lease=lease, reason=reason)
