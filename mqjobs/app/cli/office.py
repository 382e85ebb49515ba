"""The jobs and the dead letters at hand. It takes the database alone: they are looked at when the broker is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from uuid_utils.compat import uuid7

from mqjobs.app.opening import database
from mqjobs.app.settings import Settings
from mqjobs.processing.attempt import Runs
from mqjobs.processing.dead_letters import DeadLetters
from mqjobs.processing.envelopes import EnvelopeMaker
from mqjobs.processing.jobs import Jobs
from mqjobs.processing.services import Services
from mqjobs.processing.stale_times import DEFAULT_SECONDS, StaleTimes
from mqjobs.store import migrations
from mqjobs.store.clock import DatabaseClock
from mqjobs.store.database import Pool
from mqjobs.store.job_store import JobStore
from mqjobs.store.messages import database_now

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Office:
    """What an operator sees and steers."""

    jobs: Jobs
    dead: DeadLetters
    pool: Pool
    services: Services


def in_office(settings: Settings, act: Callable[[Office], Awaitable[AnswerT]]) -> AnswerT:
    """What `act` answers. Raises DatabaseUnavailable, SchemaMismatch, ConfigurationError."""

    async def run() -> AnswerT:
        async with office(settings) as opened:
            return await act(opened)

    return asyncio.run(run())


@asynccontextmanager
async def office(settings: Settings) -> AsyncIterator[Office]:
    """Open until the end of the block."""
    async with database(settings) as pool:
        async with pool.acquire() as connection:
            await migrations.check(connection)
            clock = DatabaseClock(await database_now(connection))
        services = _services(settings, pool, clock)
        yield Office(Jobs(services), DeadLetters(services), pool, services)


def _services(settings: Settings, pool: Pool, clock: DatabaseClock) -> Services:
    by_name = dict(settings.time_before_stale)
    default = by_name.pop("default", DEFAULT_SECONDS)
    return Services(
        store=JobStore(
            pool,
            crashes_allowed=settings.crashes_allowed,
            wake=_consumers_look_by_themselves,
            patience=settings.connect_timeout,
        ),
        runs=Runs(uuid7()),
        envelopes=EnvelopeMaker(clock, max_bytes=settings.max_message_bytes),
        stale_times=StaleTimes(by_name, default),
        redelivery_delay=settings.redelivery_delay,
    )


def _consumers_look_by_themselves() -> None:
    """Nothing here waits for the outbox."""
