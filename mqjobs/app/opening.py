"""The composition root: opens everything in order, closes it in reverse. The only place that knows every part."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version

import structlog
from uuid_utils.compat import uuid7

from mqjobs.app.declaring import declare
from mqjobs.app.embedded import embedded_database_url
from mqjobs.app.settings import Settings
from mqjobs.app.transports import patient_transport_of, transport_of, willing_transport_of
from mqjobs.model.errors import ConfigurationError, Forbidden
from mqjobs.processing.attempt import Runs
from mqjobs.processing.dead_letters import DeadLetters
from mqjobs.processing.envelopes import EnvelopeMaker
from mqjobs.processing.jobs import Jobs
from mqjobs.processing.middleware import Middleware
from mqjobs.processing.producer import Producer
from mqjobs.processing.queues import Queues
from mqjobs.processing.registry import Registry
from mqjobs.processing.services import Services
from mqjobs.processing.stale_times import DEFAULT_SECONDS, StaleTimes
from mqjobs.runtime.consumer import LAST_WRITES, Consumer, Pace
from mqjobs.runtime.execution import Execution
from mqjobs.runtime.heartbeat import Heartbeat
from mqjobs.runtime.limits import Limits
from mqjobs.runtime.relay import Relay
from mqjobs.store import migrations
from mqjobs.store.clock import DatabaseClock
from mqjobs.store.consumers import ConsumerInfo
from mqjobs.store.database import Pool, open_pool
from mqjobs.store.job_store import JobStore
from mqjobs.store.messages import database_now
from mqjobs.store.own_connection import OwnConnection
from mqjobs.transport.background import in_background
from mqjobs.transport.seam import Transport

log = structlog.get_logger(__name__)

PRODUCER_RELAY_INTERVAL = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class OpenApp:
    """An app that is connected: `producer` sends; `jobs`, `dead`, `queues` show and steer; `database` is the pool."""

    producer: Producer
    jobs: Jobs
    dead: DeadLetters
    queues: Queues
    database: Pool
    transport: Transport
    relay: Relay


@dataclass(frozen=True, slots=True)
class _Parts:
    services: Services
    transport: Transport
    relay: Relay
    producer: Producer
    database: Pool


@asynccontextmanager
async def opened(
    settings: Settings,
    registry: Registry,
    middleware: Sequence[Middleware],
    *,
    for_relay: bool = False,
) -> AsyncIterator[OpenApp]:
    """What producers and operators use. A relay beside it carries what they send, as soon as they have sent it.

    A broker that is away now may come later: what is sent waits in the outbox. `for_relay`: it is needed now, and who
    opens the app runs the relay.
    """
    opening = patient_transport_of if for_relay else willing_transport_of
    async with (
        _parts(settings, registry, opening, patience=settings.connect_timeout) as parts,
        in_background(*([] if for_relay else [_carry(parts.relay)])),
    ):
        yield OpenApp(
            parts.producer,
            Jobs(parts.services),
            DeadLetters(parts.services),
            Queues(parts.services, parts.transport, registry.bindings()),
            parts.database,
            parts.transport,
            parts.relay,
        )


async def _carry(relay: Relay) -> None:
    """A role that may only send leaves what is in the outbox to consumers and relays."""
    try:
        await relay.run(asyncio.Event(), PRODUCER_RELAY_INTERVAL)
    except Forbidden as error:
        log.info("relay_left_to_others", why=str(error))


@asynccontextmanager
async def consumer(
    settings: Settings,
    registry: Registry,
    middleware: Sequence[Middleware],
    queues: Sequence[str] = (),
) -> AsyncIterator[Consumer]:
    """A consumer of these queues, or of all that the registry has, ready to run.

    Raises ConfigurationError for a queue that no processor takes messages from, and for a life without a beat in it.
    """
    chosen = _chosen_queues(registry, queues or settings.queues)
    _require_beats(settings)
    async with _parts(settings, registry, transport_of) as parts:
        connect = partial(
            OwnConnection,
            await _database_url(settings),
            statement_cache_size=settings.statement_cache_size,
        )
        info = ConsumerInfo(
            id=parts.services.runs.consumer_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version("mqjobs"),
            queues=chosen,
        )
        yield Consumer(
            services=parts.services,
            transport=parts.transport,
            execution=Execution(
                parts.services, registry, parts.producer, parts.database, middleware
            ),
            heartbeat=Heartbeat(parts.services, info, connect, settings.dead_after),
            relay=parts.relay,
            queues=chosen,
            pace=_pace(settings),
            limits=Limits(settings.message_limit, settings.time_limit, settings.memory_limit),
        )


@asynccontextmanager
async def database(
    settings: Settings, *, held_at_most: timedelta | None = None
) -> AsyncIterator[Pool]:
    """The pool alone, see `open_pool`; an embedded database is started, and has the newest schema."""
    if settings.database_url is None:
        async with _pool(settings) as unbounded, unbounded.acquire() as connection:
            await migrations.migrate(connection)
    async with _pool(settings, held_at_most=held_at_most) as pool:
        yield pool


@asynccontextmanager
async def _pool(
    settings: Settings, *, held_at_most: timedelta | None = None
) -> AsyncIterator[Pool]:
    opening = open_pool(
        await _database_url(settings),
        size=settings.pool_size,
        connect_timeout=settings.connect_timeout,
        held_at_most=held_at_most,
        statement_cache_size=settings.statement_cache_size,
    )
    async with opening as pool:
        yield pool


async def _database_url(settings: Settings) -> str:
    return settings.database_url or await embedded_database_url(settings.data_dir)


@asynccontextmanager
async def _parts(
    settings: Settings,
    registry: Registry,
    opening: Callable[[Settings, Pool], AbstractAsyncContextManager[Transport]],
    *,
    patience: timedelta | None = None,
) -> AsyncIterator[_Parts]:
    """Authors have a pool of their own: however long they hold its connections, claims and heartbeats go on."""
    async with database(settings, held_at_most=settings.database_timeout) as pool:
        async with pool.acquire() as connection:
            await migrations.check(connection)
            clock = DatabaseClock(await database_now(connection))
        async with (
            opening(settings, pool) as transport,
            _pool(settings) as authors_pool,
        ):
            await declare(registry, transport, pool, settings.connect_timeout)
            wake = asyncio.Event()
            async with _running_store(settings, pool, transport, wake, patience) as store:
                services = _services(settings, store, clock)
                producer = Producer(services, transport, registry.names)
                relay = Relay(services, transport, wake)
                yield _Parts(services, transport, relay, producer, authors_pool)


@asynccontextmanager
async def _running_store(
    settings: Settings,
    pool: Pool,
    transport: Transport,
    wake: asyncio.Event,
    patience: timedelta | None,
) -> AsyncIterator[JobStore]:
    def outbox_filled() -> None:
        wake.set()
        transport.wake()

    store = JobStore(
        pool,
        crashes_allowed=settings.crashes_allowed,
        wake=outbox_filled,
        patience=patience,
    )
    transport.count_in(store.tally)
    async with in_background(store.run()):
        try:
            yield store
        finally:
            await store.close(at_most=LAST_WRITES)


def _services(settings: Settings, store: JobStore, clock: DatabaseClock) -> Services:
    by_name = dict(settings.time_before_stale)
    default = by_name.pop("default", DEFAULT_SECONDS)
    return Services(
        store=store,
        runs=Runs(uuid7()),
        envelopes=EnvelopeMaker(clock, max_bytes=settings.max_message_bytes),
        stale_times=StaleTimes(by_name, default),
        redelivery_delay=settings.redelivery_delay,
    )


def _pace(settings: Settings) -> Pace:
    return Pace(
        concurrency=settings.concurrency,
        prefetch=settings.prefetched,
        grace=settings.grace,
        stop_grace=settings.stop_grace,
        hand_over_after=settings.hand_over_after,
        heartbeat_interval=settings.heartbeat_interval,
        watch_interval=settings.watch_interval,
        relay_interval=settings.relay_interval,
        reap_interval=settings.reap_interval,
        reconcile_interval=settings.reconcile_interval,
        crashes_allowed=settings.crashes_allowed,
        resend_after=settings.resend_after,
        cleanup_interval=settings.cleanup_interval,
        kept_for=settings.kept_for,
    )


def _chosen_queues(registry: Registry, asked: Sequence[str]) -> list[str]:
    queues = registry.queues()
    if not queues:
        raise ConfigurationError(
            "the app has no processors: app.subscribe(MyProcessor()) before it consumes"
        )
    unknown = sorted(set(asked) - set(queues))
    if unknown:
        raise ConfigurationError(
            f"no processor takes messages from queue {', '.join(unknown)}; there are {', '.join(queues)}"
        )
    return sorted(set(asked)) or queues


def _require_beats(settings: Settings) -> None:
    beat, dead = settings.heartbeat_interval, settings.dead_after
    if dead < 2 * beat:
        raise ConfigurationError(
            f"MQJOBS_DEAD_AFTER is {dead.total_seconds():g} s, MQJOBS_HEARTBEAT_INTERVAL {beat.total_seconds():g} s: "
            "a consumer would be dead between two beats, make the first at least twice the second"
        )
