from mqjobs.model.message import Binding
from mqjobs.store.messages import bind
from tests.support.shell import Shell
from tests.support.stored_jobs import StoredJobs


async def test_queues_are_listed_with_how_full_they_are(shell: Shell, stored: StoredJobs) -> None:
    await stored.connection.execute("DELETE FROM mqjobs.binding")
    nothing = await shell("queues", "list", MQJOBS_APP="")
    assert nothing.out == "no queues yet: the first consumer of an app declares them\n"

    assert (await shell("send", "shop.price")).code == 0
    await bind(stored.connection, [Binding("prices", "shop.discount")])

    lines = (await shell("queues", "list", MQJOBS_APP="")).out.splitlines()
    assert [line.split() for line in lines] == [
        ["QUEUE", "READY", "UNACKNOWLEDGED", "CONSUMERS", "PAUSED", "TOPICS"],
        ["default", "0", "0", "0", "no", "shop.reindex"],
        ["prices", "1", "0", "0", "no", "shop.discount,", "shop.price"],
    ]
    prices = (await shell("queues", "list", "--json")).json[1]
    assert (prices["queue"], prices["topics"]) == ("prices", ["shop.discount", "shop.price"])
    assert (prices["state"]["ready"], prices["paused"]) == (1, None)


async def test_queues_of_rabbitmq_are_listed(shell: Shell, amqp_url: str, amqp_prefix: str) -> None:
    variables = {"MQJOBS_BROKER_URL": amqp_url, "MQJOBS_EXCHANGE": f"{amqp_prefix}exchange"}
    [tests, *_] = [
        line.split()
        for line in (await shell("queues", "list", **variables)).out.splitlines()
        if line.startswith("prices")
    ]
    assert tests == ["prices", "–", "–", "–", "no", "shop.price"]


async def test_a_queue_is_paused_until_it_is_resumed(shell: Shell) -> None:
    variables = {"LOGNAME": "ann"}
    paused = await shell("queues", "pause", "prices", **variables)
    assert paused.out == "prices is paused, until: mqjobs queues resume prices\n"
    again = await shell("queues", "pause", "prices", **variables)
    assert again.out == "prices was paused before: nothing has changed\n"

    line = (await shell("queues", "list")).out.splitlines()[2]
    assert " by ann@" in line
    prices = (await shell("queues", "list", "--json")).json[1]
    assert prices["paused"]["paused_by"].startswith("ann@")
    assert prices["paused"]["paused_at"]

    assert (await shell("queues", "resume", "prices")).out == "prices is resumed\n"
    resumed = await shell("queues", "resume", "prices")
    assert resumed.out == "prices was not paused: nothing has changed\n"


async def test_a_consumer_says_that_a_queue_is_paused_and_resumed(shell: Shell) -> None:
    async with shell.started("consume", "--log-format", "json", until="consuming") as consumer:
        await shell("queues", "pause", "prices")
        assert '"queue": "prices"' in await consumer.wrote("queue_paused")
        await shell("queues", "resume", "prices")
        assert '"queue": "prices"' in await consumer.wrote("queue_resumed")


async def test_a_purge_asks_and_says_what_it_has_done(shell: Shell) -> None:
    await shell("send", "shop.reindex", '{"collection": "a"}')
    await shell("send", "shop.reindex", '{"collection": "b"}', "--delay", "60")

    asked = await shell("queues", "purge", "default")
    assert (asked.code, asked.out) == (1, "")
    assert "Throw the 2 messages away that wait in default, and cancel their jobs?" in asked.err

    purged = await shell("queues", "purge", "default", "--yes")
    assert purged.out == "2 messages of default purged, 2 jobs cancelled\n"
    assert [job["status"] for job in (await shell("jobs", "list", "--json")).json] == [
        "cancelled"
    ] * 2
    assert (await shell("queues", "purge", "default")).out == "nothing waits in default\n"


async def test_a_queue_that_does_not_exist_is_answered_with_the_nearest(shell: Shell) -> None:
    for command in ("pause", "resume", "purge"):
        ran = await shell("queues", command, "price")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == "Error: there is no queue 'price'; did you mean prices?\n"
