"""The composition root: opens in order, closes in reverse, and says plainly what could not be opened."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from mqjobs.app import opening
from mqjobs.app.app import App
from mqjobs.app.opening import OpenApp, consumer, opened
from mqjobs.app.settings import Settings
from mqjobs.app.transports import transport_of
from mqjobs.model.errors import (
    BrokerUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    SchemaMismatch,
    Unroutable,
)
from mqjobs.transport.background import in_background
from tests.support.amqp import Declared
from tests.support.consuming import Stage
from tests.support.processors import Hearing
from tests.support.servers.network import free_ports
from tests.support.topics import Note, Unbound, Work
from tests.support.waiting import eventually
from tests.support.wire import Wire


def an_app(database_url: str, **settings: Any) -> App:
    """An app of one processor, of notes."""
    app = App(Settings(database_url=database_url, **settings))
    app.subscribe(Hearing(Note))
    return app


async def fail_with(app: App, error: BaseException) -> None:
    """Open the app and fail."""
    async with app.open():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        Unroutable("of the user"),
        ZeroDivisionError(),
        ExceptionGroup("of the user", [ZeroDivisionError()]),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
async def test_an_error_of_the_block_comes_out_as_itself(
    database_url: str, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        await fail_with(an_app(database_url), error)

    assert caught.value is error


async def test_an_error_of_ours_in_the_block_can_be_caught_around_it(database_url: str) -> None:
    async def send() -> None:
        async with an_app(database_url).open() as mq:
            await mq.producer.send(Unbound())

    with pytest.raises(Unroutable, match=r"no queue takes tests\.unbound"):
        await send()


async def test_a_time_limit_around_the_block_comes_out_as_one(database_url: str) -> None:
    async def wait() -> None:
        async with asyncio.timeout(0.3), an_app(database_url).open():
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()


async def test_a_part_that_fails_ends_the_block_with_its_error(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PRODUCER_RELAY_INTERVAL", timedelta(seconds=0.05))

    async def work() -> None:
        async with an_app(database_url).open() as mq:
            await mq.database.execute("ALTER TABLE mqjobs.message RENAME COLUMN dead_at TO gone")
            await asyncio.Event().wait()

    async with asyncio.timeout(20):
        with pytest.raises(asyncpg.UndefinedColumnError, match="dead_at"):
            await work()


async def test_opening_makes_the_queues_known_that_its_processors_take(database_url: str) -> None:
    async with an_app(database_url).open() as mq:
        found = await mq.database.fetch("SELECT queue, topic FROM mqjobs.binding")

    assert [tuple(row) for row in found] == [("default", "tests.note")]


async def test_what_is_being_written_at_the_end_of_the_block_is_written(database_url: str) -> None:
    async with asyncio.TaskGroup() as group, an_app(database_url).open() as mq:
        sending = [group.create_task(mq.producer.send(Note())) for _ in range(20)]
        await asyncio.wait(sending)

    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM mqjobs.message") == 20
    finally:
        await connection.close()


async def test_no_connection_and_no_task_outlives_the_block(database_url: str) -> None:
    before = asyncio.all_tasks()
    async with an_app(database_url).open() as mq:
        await mq.producer.send(Note())

    assert asyncio.all_tasks() == before
    connection = await asyncpg.connect(database_url)

    async def is_alone() -> bool:
        return bool(
            await connection.fetchval(
                "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()"
            )
        )

    try:
        await eventually(is_alone, what="that no connection is left")
    finally:
        await connection.close()


async def open_and_close(app: App) -> OpenApp:
    async with app.open() as opened:
        return opened


async def test_a_database_without_our_schema_says_what_to_run(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP SCHEMA mqjobs CASCADE")
    await connection.close()

    with pytest.raises(SchemaMismatch, match="run mqjobs migrate"):
        await open_and_close(an_app(database_url))


async def test_a_database_that_does_not_come_is_told_after_the_connect_timeout() -> None:
    [port] = free_ports(1)
    app = an_app(
        f"postgresql://ann:secret@127.0.0.1:{port}/jobs", connect_timeout=timedelta(seconds=0.1)
    )

    with capture_logs(), pytest.raises(DatabaseUnavailable, match=r"within 0\.1 s") as refused:
        await open_and_close(app)

    assert "secret" not in str(refused.value)


async def test_a_broker_that_does_not_come_is_told_after_the_connect_timeout(
    database_url: str,
) -> None:
    [port] = free_ports(1)
    app = an_app(
        database_url,
        broker_url=f"amqp://ann:secret@127.0.0.1:{port}/",
        connect_timeout=timedelta(seconds=1),
    )

    with capture_logs(), pytest.raises(BrokerUnavailable) as refused:
        await consume(app)

    assert "secret" not in str(refused.value)
    assert str(port) in str(refused.value)


async def test_an_app_is_opened_without_its_broker_and_what_is_sent_waits_in_the_outbox(
    database_url: str, amqp_url: str, amqp_prefix: str, amqp_declared: Declared
) -> None:
    async with Wire.to(amqp_url) as wire:
        wire.is_torn = True
        stage = Stage(
            database_url, f"amqp://guest:guest@127.0.0.1:{wire.port}/", amqp_prefix, amqp_declared
        )
        hearing = Hearing(Note)
        app = stage.app(hearing, connect_timeout=0.5)
        with capture_logs() as lines:
            async with app.open() as mq:
                assert not mq.transport.is_connected
                await mq.producer.send(Note(text="early"))
                assert await mq.database.fetchval(OF_THE_OUTBOX) == 1
                wire.is_torn = False
                await eventually(lambda: mq.transport.is_connected, what="the broker")

                async def is_carried() -> bool:
                    return not await mq.database.fetchval(OF_THE_OUTBOX)

                await eventually(is_carried, what="the relay")
                async with (
                    consumer(app.settings, app.registry, app.middleware) as running,
                    in_background(running.run(asyncio.Event())),
                ):
                    await eventually(lambda: hearing.texts == ["early"], what="the message")

    assert [line for line in lines if line["log_level"] == "error"] == []


OF_THE_OUTBOX = "SELECT count(*) FROM mqjobs.message WHERE dead_at IS NULL"


async def test_a_relay_needs_its_broker(database_url: str) -> None:
    [port] = free_ports(1)
    app = an_app(
        database_url, broker_url=f"amqp://127.0.0.1:{port}/", connect_timeout=timedelta(seconds=0.1)
    )

    with capture_logs(), pytest.raises(BrokerUnavailable):
        async with opened(app.settings, app.registry, app.middleware, for_relay=True):
            pass


@pytest.mark.parametrize("url", ["http://ann:secret@mq/", "kafka://mq", "localhost", "amqp:mq"])
async def test_a_broker_of_another_kind_names_the_variable_and_the_kinds_there_are(
    database_url: str, url: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"MQJOBS_BROKER_URL .*: give amqp://…") as refused:
        await open_and_close(an_app(database_url, broker_url=url))

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", [None, "postgres:", "postgres://"])
async def test_without_a_broker_the_queues_are_in_the_database(
    database_url: str, url: str | None
) -> None:
    async with an_app(database_url, broker_url=url).open() as mq:
        async with transport_of(Settings(broker_url=url), mq.database) as transport:
            assert not transport.needs_relay
        assert not mq.transport.needs_relay


async def consume(app: App, *queues: str) -> None:
    async with consumer(app.settings, app.registry, app.middleware, queues):
        pass


@pytest.mark.parametrize(
    ("queues", "settings", "says"),
    [
        (["defualt"], {}, "no processor takes messages from queue defualt; there are default"),
        ([], {"queues": ("slow",)}, "no processor takes messages from queue slow"),
        (
            [],
            {"dead_after": 5, "heartbeat_interval": 3},
            "MQJOBS_DEAD_AFTER is 5 s, MQJOBS_HEARTBEAT_INTERVAL 3 s: .* at least twice",
        ),
    ],
)
async def test_a_consumer_that_makes_no_sense_is_refused_before_anything_is_opened(
    queues: list[str], settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        await consume(an_app("postgresql://nowhere.invalid/jobs", **settings), *queues)


async def test_an_app_without_processors_has_nothing_to_consume() -> None:
    with pytest.raises(ConfigurationError, match=r"the app has no processors: app\.subscribe"):
        await consume(App(Settings()))


async def test_a_consumer_takes_all_queues_or_those_that_are_asked_for(database_url: str) -> None:
    app = an_app(database_url)
    app.subscribe(Hearing(Work, "slow"))

    async def queues(*asked: str, **settings: Any) -> list[str]:
        changed = app.settings.model_copy(update=settings)
        async with consumer(changed, app.registry, (), asked) as running:
            return list(running.queues)

    assert await queues() == ["default", "slow"]
    assert await queues("slow") == ["slow"]
    assert await queues(queues=("slow",)) == ["slow"]
    assert await queues("default", queues=("slow",)) == ["default"]
