"""The life of a delivery: read, processed, and acknowledged, parked or kept as a dead letter."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from mqjobs.model.errors import DatabaseUnavailable, InvalidMessage, UnknownTopic
from mqjobs.model.message import Envelope, Message
from mqjobs.model.outcome import StopReason
from mqjobs.model.tally import Count, Measure
from mqjobs.model.topic import Topic, definition_of
from mqjobs.processing.attempt import Attempt, Verdict
from mqjobs.processing.context import Context
from mqjobs.processing.dependent_jobs import DependentJobs
from mqjobs.processing.envelopes import open_envelope
from mqjobs.processing.job_run import error_text
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.middleware import Middleware, Process, limit_time, wrapped
from mqjobs.processing.processor import Processor
from mqjobs.processing.producer import Producer
from mqjobs.processing.registry import Registry
from mqjobs.processing.services import Services
from mqjobs.runtime.burial import bare, bury, close_unrun_jobs
from mqjobs.runtime.fate import (
    Acknowledge,
    Bury,
    Fate,
    GiveBack,
    Park,
    fate_of_error,
    fate_of_result,
)
from mqjobs.store.database import Pool
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
        self._attempts: set[Attempt] = set()

    @property
    def running(self) -> int:
        """How many attempts run."""
        return len(self._attempts)

    def stop(self) -> int:
        """All code that runs gets cancelled, its work given back; how many attempts that were."""
        for attempt in self._attempts:
            attempt.stop(StopReason.SHUTDOWN)
        return len(self._attempts)

    async def execute(self, delivery: Delivery, inbox: Inbox) -> None:
        """Act on the delivery and settle it. What it came to is written before it is acknowledged."""
        envelope = delivery.envelope
        began = time.monotonic()
        try:
            fate = await self._act(envelope)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # such as a stranger's number that no column holds
            log.exception("not_settled", topic=envelope.topic, message_id=str(envelope.id))
            fate = Bury("not_settled", error_text(error))
            await bury(self._services, bare(envelope), fate.reason, fate.detail)
        if isinstance(fate, GiveBack):
            inbox.give_back(delivery)
        else:
            inbox.ack(delivery)
        self._note(envelope, fate, time.monotonic() - began)

    def _note(self, envelope: Envelope, fate: Fate, seconds: float) -> None:
        outcome = _tell(envelope, fate, seconds)
        self._services.tally.add(Count.ATTEMPTS, kind=outcome)
        self._services.tally.observe(Measure.ATTEMPT_SECONDS, seconds, kind=outcome)

    async def _act(self, envelope: Envelope) -> Fate:
        readable = self._read(envelope)
        if isinstance(readable, Bury):
            fate: Fate = readable
        else:
            fate = await self._attempt(readable, envelope)
        await self._apply(fate, envelope)
        return fate

    def _read(self, envelope: Envelope) -> _Readable | Bury:
        if (
            envelope.expires_at is not None
            and envelope.expires_at <= self._services.envelopes.clock.now()
        ):
            return Bury("expired", f"it was to be acted on until {envelope.expires_at.isoformat()}")
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
            return _Readable(open_envelope(envelope, topic), processor)
        except InvalidMessage as error:
            return Bury("invalid", str(error))

    async def _attempt(self, readable: _Readable, envelope: Envelope) -> Fate:
        retry = definition_of(type(readable.message.body)).retry
        attempt = Attempt(envelope, envelope.queue or "", retry)
        context = self._context(readable.message, attempt)
        process = wrapped(readable.processor.process, self._middleware)
        self._attempts.add(attempt)
        try:
            fate = await _run(process, readable.message, context, self._services.redelivery_delay)
        finally:
            self._attempts.discard(attempt)
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

    async def _apply(self, fate: Fate, envelope: Envelope) -> None:
        match fate:
            case Park(delay, counts, _):
                later = envelope.again(
                    envelope.queue or "", delay, attempt=envelope.attempt + counts
                )
                await self._services.store.send([later])
            case Bury(reason, detail):
                await bury(self._services, envelope, reason, detail)
            case Acknowledge() | GiveBack():
                return


async def _run(
    process: Process, message: Message[Topic], context: Context, redelivery_delay: timedelta
) -> Fate:
    attempt = context.attempt
    try:
        with attempt.running():
            result = await process(message, context)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raised = _heard(error, attempt)
    else:
        return fate_of_result(result, attempt.verdict, attempt.detail, redelivery_delay)
    if raised is None:
        return GiveBack()
    return fate_of_error(
        raised,
        attempt.verdict,
        attempt.detail,
        attempt=message.attempt,
        retry=attempt.retry,
        redelivery_delay=redelivery_delay,
    )


def _heard(error: BaseException, attempt: Attempt) -> BaseException | None:
    """What the processor's code came to, whatever it raised while it was stopped; None: it is to be given back.

    A cancellation of this very task that was no stop of the attempt passes on: the consumer is at its end.
    """
    task = asyncio.current_task()
    if attempt.stop_reason is None:
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error
        return error
    if task is not None:
        task.uncancel()
    if attempt.stop_reason is StopReason.TIMED_OUT:
        late = TimeoutError("the attempt took longer than its topic's timeout")
        late.__cause__ = error
        return late
    return None if attempt.verdict in {None, Verdict.PARK} else error


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
            line.warning(outcome := "rejected", reason=reason)
        case GiveBack():
            line.info(outcome := "given_back")
    return outcome
