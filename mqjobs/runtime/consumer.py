"""The consumer: takes deliveries, starts an attempt for each, and leaves when all have ended."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from mqjobs.model.errors import Forbidden
from mqjobs.model.status import JobStatus
from mqjobs.processing.services import Services
from mqjobs.runtime.every import ended_before
from mqjobs.runtime.execution import Execution
from mqjobs.runtime.heartbeat import Heartbeat
from mqjobs.runtime.limits import Limits
from mqjobs.runtime.pauses import Pauses
from mqjobs.runtime.reaper import run_reaper
from mqjobs.runtime.reconciler import run_reconciler
from mqjobs.runtime.relay import Relay
from mqjobs.runtime.resending import Resending
from mqjobs.runtime.retention import run_retention
from mqjobs.runtime.stragglers import Stragglers
from mqjobs.transport.background import first_failure, in_background
from mqjobs.transport.seam import Delivery, Inbox, Transport

log = structlog.get_logger(__name__)

LAST_WRITES = timedelta(seconds=5)
AT_ONCE = timedelta(seconds=1)
BETWEEN_LOOKS = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a consumer does at once and how often it looks around."""

    concurrency: int
    prefetch: int
    grace: timedelta
    stop_grace: timedelta
    hand_over_after: timedelta
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
class _Orders:
    stop: asyncio.Event
    at_once: asyncio.Event


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
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, stop: asyncio.Event, at_once: asyncio.Event | None = None) -> None:
        """Work until told to stop; then let what runs end within the grace, and give back the rest.

        Once `at_once` is set, too, nothing more is waited for: code is stopped, and given back a moment later.

        A user's error is an outcome; an error of our own, or of a server that refuses us, ends the consumer. Code that
        goes on whatever it is told keeps this from returning, for as long as it goes on: `abandoned` is set when
        nothing but such code is left and all it had is given back. A process may then end.
        """
        over = asyncio.Event()
        try:
            if not await ended_before(stop, self.heartbeat.begin()):
                return
            async with asyncio.TaskGroup() as beside:
                services = self._start_services(beside, stop, over)

                async def end() -> None:
                    over.set()
                    await _end(services)

                try:
                    await self._consume(_Orders(stop, at_once or asyncio.Event()), end)
                finally:
                    await end()
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None
        finally:
            await self._say_goodbye()

    async def _consume(self, orders: _Orders, end: Callable[[], Awaitable[None]]) -> None:
        stop = orders.stop
        pauses = Pauses(self.services.store.pool, self.queues)
        if not await ended_before(stop, pauses.look()):
            return
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
                if not await self._drain(taking, orders):
                    await self._leave_behind(end)
                    taking.cancel()

    async def _take(self, inbox: Inbox, stop: asyncio.Event) -> None:
        """Returns when the inbox is closed and all attempts have ended.

        A delivery is taken when there is a slot for it: until then it can go back, should its queue be paused.
        """
        async with asyncio.TaskGroup() as attempts:
            with self._giving_back():
                await self._begin_attempts(attempts, inbox, stop)

    async def _begin_attempts(
        self, attempts: asyncio.TaskGroup, inbox: Inbox, stop: asyncio.Event
    ) -> None:
        slots = asyncio.Semaphore(self.pace.concurrency)
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
            try:
                await self.execution.execute(delivery, inbox)
            except asyncio.CancelledError as error:
                if self.execution.is_stopping:
                    raise
                raise RuntimeError("an attempt was cancelled while the consumer went on") from error

    @contextmanager
    def _giving_back(self) -> Iterator[None]:
        """Where the block fails or is cancelled, this consumer ends: what still runs is given back, not failed."""
        try:
            yield
        except BaseException:
            self.execution.stop()
            raise

    async def _drain(self, taking: asyncio.Task[None], orders: _Orders) -> bool:
        """Whether all attempts have ended: by themselves within the grace, or because they were stopped."""
        if await _ends(taking, self.pace.grace, orders.at_once):
            return True
        stopped = self.execution.stop()
        after = {} if orders.at_once.is_set() else {"grace_s": self.pace.grace.total_seconds()}
        log.warning("stopping_what_runs", stopped=stopped, **after)
        if await _ends(taking, self.pace.stop_grace, orders.at_once):
            return True
        return orders.at_once.is_set() and await _ends(taking, AT_ONCE)

    async def _leave_behind(self, end: Callable[[], Awaitable[None]]) -> None:
        """What still runs belongs to others from here on."""
        log.error(
            "left_behind",
            jobs=sorted(self.services.runs.leases()),
            messages=self.execution.messages(),
        )
        try:
            async with asyncio.timeout(LAST_WRITES.total_seconds()):
                await self.execution.leave_behind()
        except Exception as error:  # the reaper does it when this consumer is dead to the others
            log.warning("not_given_back", error=str(error) or type(error).__name__)
        await end()
        await self._say_goodbye()
        self.abandoned.set()

    def _start_services(
        self, beside: asyncio.TaskGroup, stop: asyncio.Event, over: asyncio.Event
    ) -> list[asyncio.Task[None]]:
        pace, store = self.pace, self.services.store
        services = {
            "heartbeat": self.heartbeat.beat(over, pace.heartbeat_interval),
            "watch": self.heartbeat.watch(over, pace.watch_interval),
            "stragglers": Stragglers(self.services, self.execution, pace.stop_grace).watch(
                over, pace.watch_interval
            ),
            "hand-over": self.execution.hand_over(
                over, min(pace.hand_over_after / 10, BETWEEN_LOOKS), pace.hand_over_after
            ),
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
            beside.create_task(_missed(name, service, stop, over), name=f"mqjobs {name}")
            for name, service in services.items()
        ]

    def _resending(self) -> Resending:
        return Resending(self.services, self.transport, self.pace.resend_after)

    async def _say_goodbye(self) -> None:
        if self.abandoned.is_set():
            return
        try:
            async with asyncio.timeout(LAST_WRITES.total_seconds()):
                await self.services.store.let_all_come(self.services.runs.consumer_id)
                await self.heartbeat.end()
        except Forbidden:
            pass  # it was not allowed to say that it is there, either
        except Exception as error:  # it is dead to the others soon without it
            log.warning("goodbye_failed", error=str(error) or type(error).__name__)


async def _missed(
    name: str, service: Coroutine[Any, Any, None], stop: asyncio.Event, over: asyncio.Event
) -> None:
    """A group of tasks takes no notice of one that returns, or that a driver cancels: nobody would beat or relay."""
    try:
        await service
    except asyncio.CancelledError as error:
        if over.is_set():
            raise
        raise RuntimeError(f"the {name} was cancelled while the consumer went on") from error
    if not (over.is_set() or stop.is_set()):
        raise RuntimeError(f"the {name} ended while the consumer went on")


async def _ends(
    taking: asyncio.Task[None], within: timedelta, unless: asyncio.Event | None = None
) -> bool:
    """Whether all attempts have ended when the time is over, or when the event is set."""
    async with asyncio.TaskGroup() as group:
        hurry = group.create_task((unless or asyncio.Event()).wait())
        await asyncio.wait(
            [taking, hurry], timeout=within.total_seconds(), return_when=asyncio.FIRST_COMPLETED
        )
        hurry.cancel()
    return taking.done()


async def _end(services: Sequence[asyncio.Task[None]]) -> None:
    """They have been told; one that waits for a server that is away waits no longer."""
    await asyncio.wait(services, timeout=LAST_WRITES.total_seconds())
    for service in services:
        service.cancel()
