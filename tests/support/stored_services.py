"""What operators' calls are built with, on a database and without a consumer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from mqjobs.processing.attempt import Runs
from mqjobs.processing.envelopes import EnvelopeMaker
from mqjobs.processing.services import Services
from mqjobs.processing.stale_times import StaleTimes
from mqjobs.store.clock import DatabaseClock
from mqjobs.store.database import open_pool
from mqjobs.store.job_store import JobStore


class Wakes:
    """How often the outbox was said to have something new."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@asynccontextmanager
async def services_on(database_url: str, wakes: Wakes) -> AsyncIterator[Services]:
    """The services of an app that nobody has given any settings."""
    async with open_pool(database_url, size=4) as pool:
        yield Services(
            store=JobStore(pool, crashes_allowed=3, wake=wakes, patience=timedelta(seconds=10)),
            runs=Runs(uuid4()),
            envelopes=EnvelopeMaker(DatabaseClock(datetime.now(UTC)), max_bytes=1000),
            stale_times=StaleTimes({"patient": -1}),
            redelivery_delay=timedelta(seconds=10),
        )
