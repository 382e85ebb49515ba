"""What a parent says to the database when a process of its own is gone: its jobs wait for no heartbeat to age."""

from uuid import UUID

import structlog

from mqjobs.app.opening import database
from mqjobs.app.settings import Settings
from mqjobs.model.tally import Tally
from mqjobs.runtime.reaper import tell_reaped
from mqjobs.store.consumers import declare_dead, reap
from mqjobs.store.job_store import transaction

log = structlog.get_logger(__name__)


async def tell_of_death(settings: Settings, consumer_id: UUID, tally: Tally) -> None:
    """What this consumer ran runs again. Its process has to be gone: what it still did would be done twice.

    While the database is away this waits until the heartbeat would have told the same.
    """
    patient = settings.model_copy(update={"connect_timeout": settings.dead_after})
    try:
        async with database(patient, held_at_most=settings.database_timeout) as pool:
            async with transaction(pool) as connection:
                await declare_dead(connection, consumer_id)
            async with transaction(pool) as connection:
                reaped = await reap(connection, crashes_allowed=settings.crashes_allowed)
    except Exception as error:  # the other consumers find what is left to be done
        why = str(error) or type(error).__name__
        log.warning("death_not_told", consumer_id=str(consumer_id), error=why)
    else:
        if reaped.consumers or reaped.jobs:
            tell_reaped(reaped, tally)
