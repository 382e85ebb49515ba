from collections.abc import Iterator

import click
import pytest

from mqjobs.app.cli import main
from mqjobs.app.cli.flags import variables_of
from mqjobs.app.settings import Settings
from tests.support.shell import Shell

COMMANDS = {
    *("consume", "send", "topics", "processors", "consumers list", "relay", "migrate"),
    *("doctor", "completion"),
    *(
        f"jobs {name}"
        for name in ["list", "show", "tree", "children", "interrupt", "retry", "cleanup"]
    ),
    *(f"queues {name}" for name in ["list", "pause", "resume", "purge"]),
    *(f"dead {name}" for name in ["list", "show", "replay", "drop"]),
}


def commands(
    group: click.Group, context: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command with its name and its context."""
    for name, command in group.commands.items():
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from ((f"{name} {rest[0]}", *rest[1:]) for rest in commands(command, below))
        else:
            yield name, command, below


ALL = list(commands(main, click.Context(main, info_name="mqjobs", auto_envvar_prefix="MQJOBS")))


@pytest.mark.parametrize(
    ("command", "context"), [each[1:] for each in ALL], ids=[each[0] for each in ALL]
)
def test_no_help_has_a_mark_of_its_own_making(
    command: click.Command, context: click.Context
) -> None:
    assert "\\" not in command.get_help(context)
    assert "\b" not in command.get_help(context)


def test_these_are_the_commands() -> None:
    assert {name for name, _, _ in ALL} == COMMANDS


@pytest.mark.parametrize(
    ("command", "context"), [each[1:] for each in ALL], ids=[each[0] for each in ALL]
)
def test_every_flag_has_its_variable_and_its_words_in_the_help(
    command: click.Command, context: click.Context
) -> None:
    assert command.get_short_help_str(limit=60)[-3:] != "...", "its first sentence is short"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            record = parameter.get_help_record(context)
            assert record is not None
            assert "env var: MQJOBS_" in record[1]
            assert parameter.help


async def test_the_help_shows_what_a_setting_is_by_itself(shell: Shell) -> None:
    of_consume = " ".join((await shell("consume", "--help")).out.split())
    for text in (
        "MQJOBS_CONCURRENCY; default: 20]",
        "MQJOBS_GRACE; default: 25]",
        "MQJOBS_LOG_LEVEL; default: info]",
        "MQJOBS_PREFETCH]",
        "MQJOBS_DATABASE_URL]",
    ):
        assert text in of_consume
    of_relay = " ".join((await shell("relay", "--help")).out.split())
    assert "MQJOBS_RELAY_INTERVAL; default: 0.25]" in of_relay
    of_list = " ".join((await shell("jobs", "list", "--help")).out.split())
    assert "MQJOBS_LOG_LEVEL; default: warning]" in of_list


def test_no_variable_of_a_flag_is_that_of_a_setting() -> None:
    variables = list(variables_of(main))
    assert len(variables) == len(set(variables))
    assert not set(variables) & {f"MQJOBS_{name.upper()}" for name in Settings.model_fields}


def test_every_listing_can_be_had_as_json() -> None:
    listings = COMMANDS & {"topics", "queues list", "processors", "jobs list", "dead list"}
    listings |= {"consumers list", "jobs show", "jobs tree", "jobs children", "dead show", "doctor"}
    flags = {
        name: {option for each in command.params for option in each.opts}
        for name, command, _ in ALL
    }
    assert {name for name in listings if "--json" not in flags[name]} == set()


def test_what_destroys_asks() -> None:
    destructive = {"jobs interrupt", "jobs cleanup", "dead drop", "dead replay", "queues purge"}
    flags = {
        name: {option for each in command.params for option in each.opts}
        for name, command, _ in ALL
    }
    assert {name for name in flags if "--yes" in flags[name]} == destructive


async def test_the_help_has_the_exit_codes(shell: Shell) -> None:
    ran = await shell("--help")
    assert ran.code == 0
    assert "2 usage or configuration, 3 broker" in " ".join(ran.out.split())


async def test_the_help_shows_in_brackets_what_may_be_left_out(shell: Shell) -> None:
    assert "send [OPTIONS] TOPIC [JSON]" in (await shell("send", "--help")).out
    assert "consume [OPTIONS] [QUEUE]..." in (await shell("consume", "--help")).out


async def test_the_version_names_what_it_runs_on(shell: Shell) -> None:
    ran = await shell("--version")
    assert ran.code == 0
    for text in ("mqjobs ", "Python 3", "asyncpg ", "aio-pika "):
        assert text in ran.out


async def test_shells_get_their_completion(shell: Shell) -> None:
    for kind in ("bash", "zsh", "fish"):
        ran = await shell("completion", kind)
        assert (ran.code, "_MQJOBS_COMPLETE" in ran.out) == (0, True)
    assert (await shell("completion", "tcsh")).code == 2
    completed = await shell(
        _MQJOBS_COMPLETE="bash_complete", COMP_WORDS="mqjobs jobs in", COMP_CWORD="2"
    )
    assert completed.out == "plain,interrupt\n"
