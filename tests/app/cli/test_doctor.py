from mqjobs.model.message import Binding
from mqjobs.store.messages import bind
from tests.support.amqp import Declared
from tests.support.databases import database
from tests.support.servers.network import HOST, free_ports
from tests.support.shell import Ran, Shell
from tests.support.stored_jobs import StoredJobs


def marks(ran: Ran) -> dict[str, str]:
    """The mark of each subject; every line has one."""
    return {line.split()[1]: line.split()[0] for line in ran.out.splitlines()}


async def test_a_sound_installation_has_no_cross(shell: Shell, stored: StoredJobs) -> None:
    await stored.consumer()

    ran = await shell("doctor")

    assert (ran.code, ran.err) == (0, "")
    assert marks(ran) == {
        "app": "✓",
        "settings": "✓",
        "database": "✓",
        "schema": "✓",
        "bindings": "✓",
        "consumers": "–",
        "broker": "✓",
        "queues": "–",
        "acknowledgements": "✓",
    }
    found = (await shell("doctor", "--json")).json
    assert [(one["subject"], one["mark"]) for one in found] == list(marks(ran).items())


async def test_a_broker_is_looked_at_but_for_its_timeout(
    shell: Shell, amqp_url: str, amqp_declared: Declared, amqp_prefix: str
) -> None:
    app = (shell.folder / "shop.py").read_text()
    queue = f"{amqp_prefix}prices"
    amqp_declared.queues.update({queue, f"{amqp_prefix}default"})
    amqp_declared.exchanges.add(f"{amqp_prefix}exchange")
    app = app.replace('queue="prices"', f'queue="{queue}"')
    app = app.replace('name="shop.reindex"', f'name="shop.reindex", queue="{amqp_prefix}default"')
    (shell.folder / "shop.py").write_text(app)
    variables = {"MQJOBS_BROKER_URL": amqp_url, "MQJOBS_EXCHANGE": f"{amqp_prefix}exchange"}

    before = await shell("doctor", **variables)
    assert (await shell("send", "shop.price", **variables)).code == 0
    after = await shell("doctor", **variables)

    assert (before.code, after.code) == (0, 0)
    assert (marks(before)["broker"], marks(before)["queues"]) == ("✓", "–")
    assert marks(after)["queues"] == "✓"
    assert marks(after)["acknowledgements"] == "–"
    [line] = [line for line in after.out.splitlines() if "acknowledgements" in line]
    for text in ("not checked", "30 min", "rabbitmqctl eval", "parked"):
        assert text in line


async def test_each_thing_that_is_wrong_is_a_line_and_the_worst_is_the_exit_code(
    shell: Shell,
) -> None:
    port, other = free_ports(2)
    away = {
        "MQJOBS_DATABASE_URL": f"postgresql://u:secret@{HOST}:{port}/jobs",
        "MQJOBS_CONNECT_TIMEOUT": "0.2",
    }
    broker = {
        "MQJOBS_BROKER_URL": f"amqp://u:secret@{HOST}:{other}/",
        "MQJOBS_CONNECT_TIMEOUT": "0.2",
    }

    ran = await shell("doctor", **away)
    assert (ran.code, marks(ran)["database"], marks(ran)["broker"]) == (4, "✗", "–")
    ran = await shell("doctor", **broker)
    assert (ran.code, marks(ran)["database"], marks(ran)["broker"]) == (3, "✓", "✗")
    ran = await shell("doctor", **away, MQJOBS_BROKER_URL=broker["MQJOBS_BROKER_URL"])
    assert (ran.code, marks(ran)["database"], marks(ran)["broker"]) == (4, "✗", "✗")
    assert "secret" not in ran.out + ran.err
    ran = await shell("doctor", MQJOBS_BROKER_URL="http://localhost")
    assert (ran.code, marks(ran)["broker"]) == (2, "✗")


async def test_wrong_settings_leave_the_servers_open(shell: Shell) -> None:
    ran = await shell("doctor", MQJOBS_PREFECH="3")
    assert (ran.code, marks(ran)) == (
        2,
        {"app": "✓", "settings": "✗", "database": "–", "broker": "–"},
    )
    assert "did you mean MQJOBS_PREFETCH?" in ran.out


async def test_an_app_that_cannot_be_had_leaves_the_rest_to_be_looked_at(shell: Shell) -> None:
    (shell.folder / "broken.py").write_text("raise ValueError('no rate')\n")
    ran = await shell("doctor", "--app", "broken:app")
    assert (ran.code, marks(ran)["app"], marks(ran)["schema"]) == (2, "✗", "✓")
    assert "it raises ValueError: ValueError: no rate" in ran.out
    ran = await shell("doctor", MQJOBS_APP="")
    assert (ran.code, marks(ran)["app"]) == (0, "–")


async def test_a_schema_that_is_missing_is_said(shell: Shell, postgres_url: str) -> None:
    async with database(postgres_url, "template0") as url:
        ran = await shell("doctor", MQJOBS_DATABASE_URL=url)
    assert (ran.code, marks(ran)["database"], marks(ran)["schema"]) == (4, "✓", "✗")
    assert "run mqjobs migrate" in ran.out


async def test_a_topic_that_a_queue_takes_and_no_processor_is_said(
    shell: Shell, stored: StoredJobs
) -> None:
    await bind(stored.connection, [Binding("prices", "shop.gone"), Binding("others", "other")])
    ran = await shell("doctor")
    assert (ran.code, marks(ran)["bindings"]) == (1, "✗")
    assert "shop.gone from queue prices" in ran.out
    assert "others" not in ran.out


async def test_who_consumes_is_said(shell: Shell, stored: StoredJobs) -> None:
    assert "0 alive; nobody consumes default, prices" in (await shell("doctor")).out
    async with shell.started("consume", until="consuming"):
        ran = await shell("doctor")
        assert marks(ran)["consumers"] == "✓"
        assert marks(ran)["queues"] == "✓"
