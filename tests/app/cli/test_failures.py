import asyncio

import click
import pytest

from mqjobs.app.cli.failures import FailingGroup, exit_for
from mqjobs.app.exits import Exit
from mqjobs.model import errors
from mqjobs.model.errors import MqjobsError
from tests.support.servers.network import HOST, free_ports
from tests.support.shell import Shell
from tests.support.stored_jobs import StoredJobs


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError, Exit.USAGE),
        (errors.InvalidMessage, Exit.USAGE),
        (errors.UnknownTopic, Exit.USAGE),
        (errors.InvalidJobName, Exit.USAGE),
        (errors.BrokerUnavailable, Exit.BROKER),
        (errors.DatabaseUnavailable, Exit.DATABASE),
        (errors.SchemaMismatch, Exit.DATABASE),
        (errors.Forbidden, Exit.USAGE),
        (errors.UnknownJob, Exit.FAILED),
        (errors.Unroutable, Exit.FAILED),
        (errors.RetryRefused, Exit.FAILED),
    ],
)
def test_each_error_has_its_exit_code(error: type[MqjobsError], code: Exit) -> None:
    assert exit_for(error("what is wrong")) is code


def raised_by(error: BaseException) -> click.ClickException:
    """What the group makes of an error of one of its commands."""

    @click.group(cls=FailingGroup)
    def group() -> None: ...

    @group.command()
    def command() -> None:
        raise error

    with pytest.raises(click.ClickException) as raised:
        group.main(["command"], standalone_mode=False)
    return raised.value


def test_an_error_that_came_out_of_a_group_of_tasks_is_known_all_the_same() -> None:
    error = errors.BrokerUnavailable("no broker")
    failure = raised_by(BaseExceptionGroup("tasks", [BaseExceptionGroup("more", [error])]))
    assert (failure.message, failure.exit_code) == ("no broker", Exit.BROKER)


def test_an_error_that_nobody_knows_is_not_hidden() -> None:
    @click.group(cls=FailingGroup)
    def group() -> None: ...

    @group.command()
    def command() -> None:
        raise ExceptionGroup("tasks", [ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        group.main(["command"], standalone_mode=False)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, asyncio.CancelledError])
def test_what_is_stopped_at_once_says_so(
    stop: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    @click.group(cls=FailingGroup)
    def group() -> None: ...

    @group.command()
    def command() -> None:
        raise stop

    with pytest.raises(SystemExit) as ended:
        group.main(["command"])
    assert ended.value.code == Exit.STOPPED
    assert capsys.readouterr().err == "stopped at once\n"


async def test_a_database_that_stays_away_ends_a_command_in_time(shell: Shell) -> None:
    [port] = free_ports(1)
    url = f"postgresql://somebody:secret@{HOST}:{port}/jobs"

    for command in (["jobs", "list"], ["consume"], ["send", "shop.price"], ["migrate"]):
        ran = await shell(*command, "--connect-timeout", "0.2", MQJOBS_DATABASE_URL=url)
        said = ran.err.splitlines()
        assert (ran.code, ran.out) == (4, "")
        assert "database_awaited" in said[0]
        assert said[-1].startswith(f"Error: no PostgreSQL at postgresql://somebody@{HOST}:{port}")
        assert "secret" not in ran.err


async def test_a_broker_that_stays_away_ends_a_command_in_time(shell: Shell) -> None:
    [port] = free_ports(1)
    url = f"amqp://somebody:secret@{HOST}:{port}/"

    for command in (["consume"], ["queues", "list"], ["relay"]):
        ran = await shell(*command, "--connect-timeout", "1", MQJOBS_BROKER_URL=url)
        said = ran.err.splitlines()
        assert (ran.code, ran.out) == (3, "")
        assert "broker_awaited" in ran.err
        assert said[-1].startswith(f"Error: no RabbitMQ at amqp://somebody@{HOST}:{port}/")
        assert "secret" not in ran.err


async def test_what_is_sent_while_the_broker_is_away_waits_in_the_outbox(
    shell: Shell, stored: StoredJobs
) -> None:
    assert (await shell("processors")).code == 0
    async with shell.started("consume", until='"consuming"'):
        pass
    [port] = free_ports(1)
    away = {"MQJOBS_BROKER_URL": f"amqp://somebody:secret@{HOST}:{port}/"}

    ran = await shell("send", "shop.price", "--connect-timeout", "1", **away)

    assert ran.code == 0
    assert "broker_awaited" in ran.err
    assert "secret" not in ran.err + ran.out
    assert await stored.connection.fetchval("SELECT count(*) FROM mqjobs.message") == 1


async def test_jobs_and_dead_letters_are_seen_while_the_broker_is_away(shell: Shell) -> None:
    [port] = free_ports(1)
    for command in (["jobs", "list"], ["dead", "list"], ["consumers", "list"]):
        ran = await shell(*command, MQJOBS_BROKER_URL=f"amqp://{HOST}:{port}/")
        assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize("words", [["jobs", "list"], ["topics"], ["consume"], ["migrate"]])
async def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_that_is(
    shell: Shell, words: list[str]
) -> None:
    ran = await shell(*words, MQJOBS_CONCURENCY="3")
    assert (ran.code, ran.out) == (2, "")
    assert (
        ran.err == "Error: MQJOBS_CONCURENCY is not a setting; did you mean MQJOBS_CONCURRENCY?\n"
    )


async def test_a_misspelt_variable_of_a_flag_is_refused_with_the_nearest_that_is(
    shell: Shell,
) -> None:
    ran = await shell("jobs", "list", MQJOBS_FLAG_JOBS_LIST_LIMT="3", MQJOBS_TEST_SOMETHING="7")
    assert (ran.code, ran.out) == (2, "")
    assert "MQJOBS_FLAG_JOBS_LIST_LIMT is no flag's variable" in ran.err
    assert "did you mean MQJOBS_FLAG_JOBS_LIST_LIMIT?" in ran.err


async def test_a_setting_that_cannot_be_read_is_refused(shell: Shell) -> None:
    for words, variables in (
        (["consume", "--concurrency", "none"], {}),
        (["consume"], {"MQJOBS_CONCURRENCY": "none"}),
    ):
        ran = await shell(*words, **variables)
        assert (ran.code, ran.err.splitlines()[0][:26]) == (2, "Error: MQJOBS_CONCURRENCY:")


async def test_a_command_that_does_not_exist_is_a_usage_error(shell: Shell) -> None:
    ran = await shell("jobz")
    assert (ran.code, ran.out) == (2, "")
    assert "jobz" in ran.err
