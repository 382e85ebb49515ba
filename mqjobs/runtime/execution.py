"""The life of a delivery: read, processed, and acknowledged, parked or kept as a dead letter."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from mqjobs.model.errors import DatabaseUnavailable, InvalidMessage, UnknownTopic
from mqjobs.model.message import Envelope, Message
from mqjobs.model.outcome import StopReason
from mqjobs.model.result import Result
from mqjobs.model.tally import Count, Measure
from mqjobs.model.topic import Topic, definition_of
from mqjobs.processing.attempt import Attempt, Verdict
from mqjobs.processing.context import Context
from mqjobs.processing.dependent_jobs import DependentJobs
from mqjobs.processing.envelopes import open_envelope
from mqjobs.processing.job_run import error_text
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.middleware import Middleware, limit_time, wrapped
from mqjobs.processing.processor import Processor
from mqjobs.processing.producer import Producer
from mqjobs.processing.registry import Registry
from mqjobs.processing.services import Services
from mqjobs.runtime.burial import close_unrun_jobs
from mqjobs.runtime.course import fate_of_attempt
from mqjobs.runtime.every import every
from mqjobs.runtime.fate import (
    BUSY_DELAY,
    Acknowledge,
    Bury,
    Fate,
    GiveBack,
    Park,
    fate_of_result,
)
from mqjobs.runtime.handling import Handling
from mqjobs.store.database import Pool
from mqjobs.store.outages import patiently
from mqjobs.transport.seam import Delivery, Inbox

log = structlog.get_logger("mqjobs.attempt")

UNRUN = "its message was acknowledged, but its processor did not run the job"


@dataclass(frozen=True, slots=True)
class _Readable:
    """A delivery that a processor can act on."""

    message: Message[Topic]
    processor: Processor


class Execution:
    """Acts on deliveries, each to its end; knows which attempts run."""

    def __init__(
        self,
        services: Services,
        registry: Registry,
        producer: Producer,
        database: Pool,
        middleware: Iterable[Middleware] = (),
    ) -> None:
        self._services = services
        self._registry = registry
        self._producer = producer
        self._database = database
        self._middleware = [*middleware, limit_time]
        self._handlings: dict[int, Handling] = {}
        self._first: dict[tuple[UUID, str | None], Handling] = {}
        self.is_stopping = False

    def stop(self) -> int:
        """All code that runs gets cancelled, its work given back, and no other begins; how many attempts that were."""
        self.is_stopping = True
        attempts = self._attempts()
        for attempt in attempts:
            attempt.stop(StopReason.SHUTDOWN)
        return len(attempts)

    def messages(self) -> list[str]:
        """The messages whose code runs."""
        return [str(attempt.envelope.id) for attempt in self._attempts()]

    def insist_on_stops(self, grace: timedelta) -> None:
        """Code that was stopped so long ago and goes on gets cancelled once more, and a warning names it."""
        for attempt in self._attempts():
            if attempt.ignores_stop(grace):
                attempt.insist()
                _warn(attempt, grace)

    async def leave_behind(self) -> None:
        """What runs is given back although its code goes on: jobs to others, messages to their queues."""
        for handling in list(self._handlings.values()):
            if (attempt := handling.attempt) is None:
                continue
            for held in self._services.runs.of(attempt):
                if held.take_away is not None and not held.was_taken_away:
                    held.was_taken_away = True
                    await held.take_away(StopReason.SHUTDOWN)
            is_open = attempt.verdict in {None, Verdict.OPEN, Verdict.PARK}
            decided = fate_of_result(
                Result.ACK, attempt.verdict, attempt.detail, self._services.redelivery_delay
            )
            await handling.settle(GiveBack() if is_open else decided)

    async def hand_over(self, stop: asyncio.Event, interval: timedelta, after: timedelta) -> None:
        """Look after each interval until stopped: what has been in process for longer than that is held."""
        async for _ in every(interval, stop):
            for handling in list(self._handlings.values()):
                if handling.may_be_held and handling.lasts_for >= after:
                    await patiently("a long message", partial(self._hand_over, handling))

    async def _hand_over(self, handling: Handling) -> None:
        if await handling.hold():
            self._services.tally.add(Count.PARKED, kind="handed_over")
            log.info(
                "handed_over",
                topic=handling.envelope.topic,
                message_id=str(handling.envelope.id),
                queue=handling.envelope.queue,
                after_s=round(handling.lasts_for.total_seconds(), 1),
            )

    @property
    def running(self) -> int:
        """How many attempts run."""
        return len(self._attempts())

    def _attempts(self) -> list[Attempt]:
        return [each.attempt for each in self._handlings.values() if each.attempt is not None]

    async def execute(self, delivery: Delivery, inbox: Inbox) -> None:
        """Act on the delivery and settle it. What it came to is written before it is acknowledged."""
        handling = Handling(self._services, delivery, inbox)
        other = self._first.get(handling.key)
        if other is not None and (delivery.redelivered or other.is_held):
            await self._see_through(handling, self._wait_for_the_other)
            return
        self._handlings[id(handling)] = handling
        self._first.setdefault(handling.key, handling)
        try:
            await self._see_through(handling, self._act)
        finally:
            del self._handlings[id(handling)]
            if self._first.get(handling.key) is handling:
                del self._first[handling.key]

    async def _see_through(
        self, handling: Handling, act: Callable[[Handling], Awaitable[Fate]]
    ) -> None:
        envelope = handling.envelope
        began = time.monotonic()
        try:
            fate = await act(handling)
            if not await handling.settle(fate):
                return
        except DatabaseUnavailable:
            raise
        except Exception as error:  # such as a stranger's number that no column holds
            log.exception("not_settled", topic=envelope.topic, message_id=str(envelope.id))
            fate = Bury("not_settled", error_text(error))
            await handling.settle_bare(fate)
        self._note(envelope, fate, time.monotonic() - began)

    def _note(self, envelope: Envelope, fate: Fate, seconds: float) -> None:
        outcome = _tell(envelope, fate, seconds)
        self._services.tally.add(Count.ATTEMPTS, kind=outcome)
        self._services.tally.observe(Measure.ATTEMPT_SECONDS, seconds, kind=outcome)

    async def _wait_for_the_other(self, handling: Handling) -> Fate:
        """The channel was lost on which the message came first, or somebody sent it twice."""
        self._services.tally.add(Count.DUPLICATES)
        return Park(BUSY_DELAY, counts=False, why="it is in process here", kind="busy")

    async def _act(self, handling: Handling) -> Fate:
        envelope = handling.envelope
        readable = self._read(envelope)
        if isinstance(readable, Bury):
            return readable
        if handling.redelivered or envelope.crashes:
            await handling.hold()
        if self.is_stopping:
            return GiveBack()
        return await self._attempt(readable, handling)

    def _read(self, envelope: Envelope) -> _Readable | Bury:
        if (
            envelope.expires_at is not None
            and envelope.expires_at <= self._services.envelopes.clock.now()
        ):
            return Bury("expired", f"it was to be acted on until {envelope.expires_at.isoformat()}")
        if envelope.crashes >= self._services.store.crashes_allowed:
            return Bury("crashed", f"{envelope.crashes} consumers died while they acted on it")
        try:
            topic = self._registry.names[envelope.topic]
        except UnknownTopic as error:
            return Bury("unknown_topic", str(error))
        processor = self._registry.processor(envelope.queue or "", envelope.topic)
        if processor is None:
            return Bury(
                "no_processor", f"no processor takes {envelope.topic} from queue {envelope.queue}"
            )
        try:
            self._services.envelopes.check_size(envelope)
            return _Readable(open_envelope(envelope, topic), processor)
        except InvalidMessage as error:
            return Bury("invalid", str(error))

    async def _attempt(self, readable: _Readable, handling: Handling) -> Fate:
        envelope = handling.envelope
        retry = definition_of(type(readable.message.body)).retry
        attempt = Attempt(envelope, envelope.queue or "", retry)
        context = self._context(readable.message, attempt)
        process = wrapped(readable.processor.process, self._middleware)
        handling.attempt = attempt
        try:
            fate = await fate_of_attempt(
                process, readable.message, context, self._services.redelivery_delay
            )
        finally:
            handling.attempt = None
        if not isinstance(fate, Acknowledge):
            return fate
        if not attempt.looked_at_a_job:
            closed = await close_unrun_jobs(
                self._services,
                envelope,
                UNRUN,
                is_job_aware=definition_of(type(readable.message.body)).is_job_aware,
            )
            return Acknowledge(UNRUN) if closed else fate
        return fate if attempt.ran_a_job else Acknowledge(fate.why or attempt.recalled)

    def _context(self, message: Message[Topic], attempt: Attempt) -> Context:
        dependent_jobs = DependentJobs(self._services)
        return Context(
            jobs=JobRunner(self._services, attempt, dependent_jobs),
            producer=self._producer,
            dependent_jobs=dependent_jobs,
            log=log.bind(topic=message.topic, message_id=str(message.id)),
            database=self._database,
            attempt=attempt,
        )


def _warn(attempt: Attempt, grace: timedelta) -> None:
    log.warning(
        "code_ignores_stop",
        topic=attempt.envelope.topic,
        message_id=str(attempt.envelope.id),
        reason=attempt.stop_reason,
        after_s=grace.total_seconds(),
    )


def _tell(envelope: Envelope, fate: Fate, seconds: float) -> str:
    """One line for each attempt; what it came to, in a word."""
    line = log.bind(
        topic=envelope.topic,
        message_id=str(envelope.id),
        queue=envelope.queue,
        attempt=envelope.attempt,
        ms=round(seconds * 1000, 1),
    )
    if envelope.job_id is not None:
        line = line.bind(job_id=envelope.job_id)
    match fate:
        case Acknowledge(None):
            line.info(outcome := "done")
        case Acknowledge(why):
            line.info(outcome := "settled", why=why)
        case Park(delay, _, why):
            line.info(outcome := "parked", why=why, again_in_s=delay.total_seconds())
        case Bury(reason, _):
            line.info(outcome := "rejected", reason=reason)  # the letter is warned of
        case GiveBack():
            line.info(outcome := "given_back")
    return outcome
