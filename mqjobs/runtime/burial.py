"""Dead letters: messages that nobody could handle are kept, and jobs that waited for them end."""

from dataclasses import replace
from uuid import uuid4

import structlog

from mqjobs.model.message import Envelope
from mqjobs.model.status import JobStatus
from mqjobs.processing.services import Services
from mqjobs.store.claims import Claim, Granted
from mqjobs.store.finishes import FinishedRun
from mqjobs.store.messages import DeadLetter

log = structlog.get_logger(__name__)


async def bury(services: Services, envelope: Envelope, reason: str, detail: str) -> None:
    """The message is a dead letter; a root that it was to start is cancelled, a child that it was to run has failed."""
    await fail_unrun_child(services, envelope, f"its message is a dead letter ({reason}): {detail}")
    await services.store.keep(DeadLetter(envelope, reason, detail))
    log.warning(
        "dead_letter",
        topic=envelope.topic,
        message_id=str(envelope.id),
        queue=envelope.queue,
        reason=reason,
        detail=detail.strip().splitlines()[-1] if detail.strip() else "",
    )


def bare(envelope: Envelope) -> Envelope:
    """The message with nothing of what a stranger may have written around its body."""
    return replace(envelope, headers={}, attempt=1, job_id=None, expires_at=None)


async def close_unrun_jobs(
    services: Services, envelope: Envelope, error: str, *, is_job_aware: bool
) -> None:
    """What the message was to start and nobody started has ended: its child failed, its root cancelled."""
    await fail_unrun_child(services, envelope, error)
    if is_job_aware and envelope.job_id is None:
        await services.store.cancel_if_new(str(envelope.id))


async def fail_unrun_child(services: Services, envelope: Envelope, error: str) -> None:
    """The delayed child that the message belongs to has failed, unless it has ended or runs."""
    if envelope.job_id is None:
        return
    claim = Claim(envelope.job_id, uuid4(), services.runs.consumer_id)
    answer = await services.store.claim(claim)
    if isinstance(answer, Granted):
        job = answer.job
        await services.store.finish(FinishedRun(job.id, job.lease, JobStatus.FAILED, error))
