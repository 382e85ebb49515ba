import json
import signal

from mqjobs.model.status import JobStatus
from tests.support.shell import Shell
from tests.support.stored_jobs import StoredJobs
from tests.support.surroundings import through
from tests.support.waiting import eventually
from tests.support.wire import Wire


async def test_a_consumer_says_what_it_consumes_and_works_until_it_is_told_to_stop(
    shell: Shell, stored: StoredJobs
) -> None:
    words = ("consume", "prices", "--concurrency", "3", "--prefetch", "5")
    async with shell.started(*words, until='"consuming"') as consumer:
        banner = json.loads(consumer.line)
        assert banner["queues"] == ["prices"]
        assert (banner["concurrency"], banner["prefetch"]) == (3, 5)
        assert (await shell("send", "shop.price")).code == 0
        await consumer.wrote('"done"')
        consumer.signal(signal.SIGTERM)
        assert await consumer.ended() == 0
    assert await stored.connection.fetchval("SELECT count(*) FROM mqjobs.message") == 0


async def test_a_second_signal_ends_a_consumer_at_once(shell: Shell, stored: StoredJobs) -> None:
    words = ("consume", "--grace", "60", "--log-format", "console")
    async with shell.started(*words, until="consuming") as consumer:
        sent = await shell("send", "shop.reindex", '{"collection": "a"}', "--json")

        async def runs() -> bool:
            return await stored.status(sent.json["job_id"]) is JobStatus.RUNNING

        await eventually(runs, what="the job's run")
        consumer.signal(signal.SIGINT)
        await consumer.wrote("draining")
        consumer.signal(signal.SIGINT)
        assert await consumer.ended() == 130


async def test_a_parent_says_on_a_terminal_what_it_ends_with(
    shell: Shell, stored: StoredJobs
) -> None:
    words = ("consume", "--processes", "2", "--log-format", "console")
    async with shell.started(*words, until="child_started") as parent:
        parent.signal(signal.SIGTERM)
        assert "exit_code=0" in await parent.wrote("exit_code")
        assert await parent.ended() == 0


async def test_a_queue_that_no_processor_takes_from_is_refused(shell: Shell) -> None:
    ran = await shell("consume", "price")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "Error: there is no queue 'price'; did you mean prices?\n"


async def test_a_relay_waits_for_a_database_that_goes_away_and_ends_all_the_same(
    shell: Shell, database_url: str
) -> None:
    async with Wire.to(database_url) as wire:
        variables = {"MQJOBS_DATABASE_URL": through(wire, database_url)}
        words = ("relay", "--log-format", "json")
        async with shell.started(*words, until='"relaying"', **variables) as relay:
            wire.tear()
            await relay.wrote('"database_away"')
            wire.is_torn = False
            await relay.wrote('"database_back"')
            wire.tear()
            await relay.wrote('"database_away"')
            relay.signal(signal.SIGTERM)
            await relay.wrote('"stopped"')
            assert await relay.ended() == 0


async def test_a_relay_carries_until_it_is_told_to_stop(shell: Shell) -> None:
    async with shell.started("relay", "--log-format", "json", until='"relaying"') as relay:
        assert json.loads(relay.line)["broker"].startswith("postgres:")
        relay.signal(signal.SIGTERM)
        assert await relay.ended() == 0
