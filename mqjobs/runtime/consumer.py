"""The consumer: takes deliveries, starts an attempt for each, and leaves when all have ended."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from mqjobs.model.status import JobStatus
from mqjobs.processing.services import Services
from mqjobs.runtime.execution import Execution
from mqjobs.runtime.heartbeat import Heartbeat
from mqjobs.runtime.limits import Limits
from mqjobs.runtime.pauses import Pauses
from mqjobs.runtime.reaper import run_reaper
from mqjobs.runtime.reconciler import run_reconciler
from mqjobs.runtime.relay import Relay
from mqjobs.runtime.resending import Resending
from mqjobs.runtime.retention import run_retention
from mqjobs.transport.background import first_failure, in_background
from mqjobs.transport.seam import Delivery, Inbox, Transport

log = structlog.get_logger(__name__)

LAST_WRITES = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a consumer does at once and how often it looks around."""

    concurrency: int
    prefetch: int
    grace: timedelta
    heartbeat_interval: timedelta
    watch_interval: timedelta
    relay_interval: timedelta
    reap_interval: timedelta
    reconcile_interval: timedelta
    crashes_allowed: int
    resend_after: timedelta
    cleanup_interval: timedelta
    kept_for: Mapping[JobStatus, timedelta]


@dataclass(frozen=True, slots=True)
class Consumer:
    """Takes from its queues until it is told to stop."""

    services: Services
    transport: Transport
    execution: Execution
    heartbeat: Heartbeat
    relay: Relay
    queues: Sequence[str]
    pace: Pace
    limits: Limits
    consuming: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; then let what runs end within the grace, and give back the rest.

        A user's error is an outcome; an error of our own, or of a server that refuses us, ends the consumer.
        """
        await self.heartbeat.begin()
        over = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as beside:
                services = self._start_services(beside, stop, over)
                try:
                    await self._consume(stop)
                finally:
                    over.set()
                    await _end(services)
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None
        finally:
            await self._say_goodbye()

    async def _consume(self, stop: asyncio.Event) -> None:
        pauses = Pauses(self.services.store.pool, self.queues)
        await pauses.look()
        opened = self.transport.inbox(
            self.queues,
            prefetch=self.pace.prefetch,
            consumer_id=self.services.runs.consumer_id,
            paused=pauses.queues,
        )
        async with (
            opened as inbox,
            in_background(pauses.follow(inbox, stop, self.pace.watch_interval)),
            asyncio.TaskGroup() as group,
        ):
            self.consuming.set()
            taking = group.create_task(self._take(inbox, stop), name="mqjobs take")
            with self._giving_back():
                await stop.wait()
                await inbox.close()
                await self._drain(taking)

    async def _take(self, inbox: Inbox, stop: asyncio.Event) -> None:
        """Returns when the inbox is closed and all attempts have ended.

        A delivery is taken when there is a slot for it: until then it can go back, should its queue be paused.
        """
        slots = asyncio.Semaphore(self.pace.concurrency)
        async with asyncio.TaskGroup() as attempts:
            deliveries = inbox.deliveries()
            while True:
                self.services.runs.is_full = slots.locked()
                await slots.acquire()
                self.services.runs.is_full = False
                delivery = await anext(deliveries, None)
                if delivery is None:
                    break
                if stop.is_set():
                    inbox.give_back(delivery)
                    slots.release()
                    continue
                self.limits.begin_one(stop)
                attempt = attempts.create_task(self._execute(delivery, inbox))
                attempt.add_done_callback(lambda _: slots.release())

    async def _execute(self, delivery: Delivery, inbox: Inbox) -> None:
        with self._giving_back():
            await self.execution.execute(delivery, inbox)

    @contextmanager
    def _giving_back(self) -> Iterator[None]:
        """Where the block fails or is cancelled, this consumer ends: what still runs is given back, not failed."""
        try:
            yield
        except BaseException:
            self.execution.stop()
            raise

    async def _drain(self, taking: asyncio.Task[None]) -> None:
        done, _ = await asyncio.wait([taking], timeout=self.pace.grace.total_seconds())
        if done:
            return
        stopped = self.execution.stop()
        log.warning("grace_over", stopped=stopped, grace_s=self.pace.grace.total_seconds())
        done, _ = await asyncio.wait([taking], timeout=LAST_WRITES.total_seconds())
        if not done:
            log.error("left_behind", jobs=sorted(self.services.runs.leases()))
            taking.cancel()

    def _start_services(
        self, beside: asyncio.TaskGroup, stop: asyncio.Event, over: asyncio.Event
    ) -> list[asyncio.Task[None]]:
        pace, store = self.pace, self.services.store
        services = {
            "heartbeat": self.heartbeat.beat(over, pace.heartbeat_interval),
            "watch": self.heartbeat.watch(over, pace.watch_interval),
            "limits": self.limits.watch(stop, over),
            "relay": self.relay.run(over, pace.relay_interval),
            "reaper": run_reaper(
                store, over, interval=pace.reap_interval, crashes_allowed=pace.crashes_allowed
            ),
            "reconciler": run_reconciler(
                store,
                over,
                interval=pace.reconcile_interval,
                needs_relay=self.transport.needs_relay,
            ),
            "resending": self._resending().run(over, pace.reconcile_interval),
            "retention": run_retention(
                store, over, interval=pace.cleanup_interval, kept_for=pace.kept_for
            ),
        }
        return [
            beside.create_task(service, name=f"mqjobs {name}") for name, service in services.items()
        ]

    def _resending(self) -> Resending:
        return Resending(self.services, self.transport, self.pace.resend_after)

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(LAST_WRITES.total_seconds()):
                await self.heartbeat.end()
        except Exception as error:  # it is dead to the others soon without it
            log.warning("goodbye_failed", error=str(error) or type(error).__name__)


async def _end(services: Sequence[asyncio.Task[None]]) -> None:
    """They have been told; one that waits for a server that is away waits no longer."""
    await asyncio.wait(services, timeout=LAST_WRITES.total_seconds())
    for service in services:
        service.cancel()
