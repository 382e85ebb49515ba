"""A delivery in this consumer's hands: what becomes of it is written once, whatever becomes of its code."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import structlog

from mqjobs.model.message import Envelope
from mqjobs.model.tally import Count
from mqjobs.processing.attempt import Attempt
from mqjobs.processing.services import Services
from mqjobs.runtime.burial import bare, bury
from mqjobs.runtime.fate import Acknowledge, Bury, Fate, GiveBack, Park
from mqjobs.store.database import is_outage
from mqjobs.transport.seam import Delivery, Inbox

log = structlog.get_logger(__name__)


class Handling:
    """From a delivery's arrival to its end.

    While its code runs, its message can be held: a copy goes to the outbox in this consumer's name, and the delivery
    is acknowledged. The copy comes to others when this consumer has died, and ends with the attempt otherwise.
    """

    def __init__(self, services: Services, delivery: Delivery, inbox: Inbox) -> None:
        self.envelope = delivery.envelope
        self.redelivered = delivery.redelivered
        self.attempt: Attempt | None = None
        self._services = services
        self._delivery = delivery
        self._inbox = inbox
        self._began = time.monotonic()
        self._held_as: int | None = None
        self._cannot_be_held = False
        self._is_settled = False
        self._lock = asyncio.Lock()

    @property
    def key(self) -> tuple[UUID, str | None]:
        """What no two that run here have in common."""
        return self.envelope.id, self.envelope.queue

    @property
    def lasts_for(self) -> timedelta:
        """How long it has been in process."""
        return timedelta(seconds=time.monotonic() - self._began)

    @property
    def is_held(self) -> bool:
        """Whether its message is held, and its delivery acknowledged."""
        return self._held_as is not None

    @property
    def may_be_held(self) -> bool:
        """Whether `hold` would do something."""
        return not (self.is_held or self._is_settled or self._cannot_be_held)

    async def hold(self) -> bool:
        """The message is held, and the delivery acknowledged; False where it cannot be, or has ended before."""
        async with self._lock:
            if not self.may_be_held:
                return False
            try:
                self._held_as = await self._services.store.hold(self.envelope, consumer_id=self._me)
            except Exception as error:
                if is_outage(error):
                    raise
                self._cannot_be_held = True
                log.warning(
                    "not_held",
                    topic=self.envelope.topic,
                    message_id=str(self.envelope.id),
                    error=str(error),
                )
                return False
            self._inbox.ack(self._delivery)
            return True

    async def settle(self, fate: Fate) -> bool:
        """What it came to is written, and then it is acknowledged; False where that has been done before."""
        async with self._lock:
            if self._is_settled:
                return False
            if isinstance(fate, Bury):
                await bury(
                    self._services, self.envelope, fate.reason, fate.detail, held_as=self._held_as
                )
            elif self._held_as is not None:
                await self._settle_held(fate, self._held_as)
            elif isinstance(fate, Park):
                await self._services.store.send([_again(self.envelope, fate)])
            self._leave(fate)
        if isinstance(fate, Park):
            self._services.tally.add(Count.PARKED, kind=fate.kind)
        return True

    async def settle_bare(self, fate: Bury) -> None:
        """What a stranger wrote around the body cannot be kept: the body is, as a dead letter."""
        async with self._lock:
            await bury(
                self._services,
                bare(self.envelope),
                fate.reason,
                fate.detail,
                held_as=self._held_as,
            )
            self._leave(fate)

    async def _settle_held(self, fate: Acknowledge | Park | GiveBack, held_as: int) -> None:
        store = self._services.store
        match fate:
            case Acknowledge():
                await store.drop_held(held_as, consumer_id=self._me)
            case Park(delay, counts, _):
                await store.let_come(
                    held_as,
                    consumer_id=self._me,
                    delay=delay,
                    counts_as_attempt=counts,
                    has_ended=True,
                )
            case GiveBack():
                await store.let_come(held_as, consumer_id=self._me)

    def _leave(self, fate: Fate) -> None:
        self._is_settled = True
        if self.is_held:
            return
        if isinstance(fate, GiveBack):
            self._inbox.give_back(self._delivery)
        else:
            self._inbox.ack(self._delivery)

    @property
    def _me(self) -> UUID:
        return self._services.runs.consumer_id


def _again(envelope: Envelope, fate: Park) -> Envelope:
    """A message that nobody acted on keeps the crashes that it is known for."""
    attempt = envelope.attempt + fate.counts
    again = envelope.again(envelope.queue or "", fate.delay, attempt=attempt)
    return replace(again, crashes=envelope.crashes) if fate.kind == "busy" else again
