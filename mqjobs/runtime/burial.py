"""Dead letters: messages that nobody could handle are kept, and jobs that waited for them end."""

from dataclasses import replace

import structlog

from mqjobs.model.message import DeadReason, Envelope
from mqjobs.model.tracebacks import what_went_wrong
from mqjobs.processing.services import Services
from mqjobs.store.messages import DeadLetter

log = structlog.get_logger(__name__)


async def bury(
    services: Services,
    envelope: Envelope,
    reason: DeadReason,
    detail: str,
    held_as: int | None = None,
) -> None:
    """The message is a dead letter, and held no longer, all at once: see `JobStore.keep`."""
    await services.store.keep(
        DeadLetter(envelope, reason, detail),
        consumer_id=services.runs.consumer_id,
        held_as=held_as,
    )
    log.warning(
        "dead_letter",
        topic=envelope.topic,
        message_id=str(envelope.id),
        queue=envelope.queue,
        reason=reason,
        detail=what_went_wrong(detail),
    )


def bare(envelope: Envelope) -> Envelope:
    """The message with nothing of what a stranger may have written around its body."""
    return replace(envelope, headers={}, attempt=1, job_id=None, expires_at=None)


async def close_unrun_jobs(
    services: Services, envelope: Envelope, error: str, *, is_job_aware: bool
) -> bool:
    """What the message was to start and nobody started has ended: its child failed, its root cancelled.

    Whether there was any.
    """
    if envelope.job_id is not None:
        return await fail_unrun_child(services, envelope, error)
    return is_job_aware and await services.store.cancel_if_new(str(envelope.id)) > 0


async def fail_unrun_child(services: Services, envelope: Envelope, error: str) -> bool:
    """The delayed child that the message belongs to has failed, unless it has ended or runs; whether it did now."""
    if envelope.job_id is None:
        return False
    return await services.store.fail_unrun_child(
        envelope.job_id, error, consumer_id=services.runs.consumer_id
    )
