"""Passwords: no command writes one, whatever goes wrong and however much it is asked to say."""

import asyncio
from itertools import product
from urllib.parse import quote

import pytest

from tests.support.servers.network import HOST, free_ports
from tests.support.shell import Shell

MARKED = "ma/rk?ed#pass%word"
FORMS = ("ma/rk", "rk?ed", "ed#pass", "ma%2Frk", "ma%2frk", "ed%23pass", "pass%25word", "pass%word")
COMMANDS = (
    ["consume"],
    ["relay"],
    ["send", "shop.price"],
    ["queues", "list"],
    ["queues", "purge", "prices", "--yes"],
    ["jobs", "list"],
    ["jobs", "show", "1"],
    ["dead", "list"],
    ["dead", "replay", "--all", "--yes"],
    ["consumers", "list"],
    ["migrate"],
    ["doctor"],
    ["topics"],
    ["completion", "bash"],
)
QUICK = {"MQJOBS_CONNECT_TIMEOUT": "0.2", "MQJOBS_LOG_LEVEL": "debug"}


def shown(text: str) -> list[str]:
    """Which forms of the password stand in a text."""
    return [form for form in FORMS if form in text]


def database_urls(port: int) -> list[str]:
    encoded = quote(MARKED, safe="")
    return [
        f"postgresql://ann:{encoded}@{HOST}:{port}/jobs",
        f"postgresql://ann@{HOST}:{port}/jobs?password={encoded}",
        f"postgresql://ann:{MARKED}@{HOST}:{port}/jobs",
        f"postgresql://ann:{encoded}@{HOST}:none/jobs",
        f"postgresql://ann:{encoded}@{HOST}:{port}/jobs?sslmode=full",
        f"mysql://ann:{encoded}@{HOST}:{port}/jobs",
    ]


def broker_urls(port: int) -> list[str]:
    encoded = quote(MARKED, safe="")
    return [
        f"amqp://ann:{encoded}@{HOST}:{port}/",
        f"amqps://ann:{encoded}@{HOST}:{port}/",
        f"amqp://ann:{MARKED}@{HOST}:{port}/",
        f"amqp://ann:{encoded}@{HOST}:none/",
        f"redis://ann:{encoded}@{HOST}:{port}/",
    ]


async def run_all(shell: Shell, runs: list[tuple[list[str], dict[str, str]]]) -> list[str]:
    """What is wrong with what they wrote; a few at a time."""
    wrong: list[str] = []
    slots = asyncio.Semaphore(4)

    async def run(words: list[str], variables: dict[str, str]) -> None:
        async with slots:
            ran = await shell(*words, **QUICK, **variables)
        if found := shown(ran.out + ran.err):
            wrong.append(f"{words} with {variables} shows {found}: {ran.out}{ran.err}")

    async with asyncio.TaskGroup() as group:
        for words, variables in runs:
            group.create_task(run(words, variables))
    return wrong


async def test_no_command_shows_the_password_of_a_database(shell: Shell) -> None:
    [port] = free_ports(1)
    first, *others = database_urls(port)
    runs = [(words, {"MQJOBS_DATABASE_URL": first}) for words in COMMANDS]
    few = (["jobs", "list"], ["consume"], ["doctor"])
    runs += [(words, {"MQJOBS_DATABASE_URL": url}) for words, url in product(few, others)]
    assert await run_all(shell, runs) == []


async def test_no_command_shows_the_password_of_a_broker(shell: Shell) -> None:
    [port] = free_ports(1)
    few = (["queues", "list"], ["consume"], ["doctor"], ["send", "shop.price"])
    runs = [(words, {"MQJOBS_BROKER_URL": url}) for words, url in product(few, broker_urls(port))]
    assert await run_all(shell, runs) == []


async def test_no_command_shows_a_password_that_a_broker_refuses(
    shell: Shell, amqp_url: str
) -> None:
    refused = amqp_url.replace("guest:guest", f"guest:{quote(MARKED, safe='')}")
    few = (["queues", "list"], ["consume"], ["doctor"])
    assert await run_all(shell, [(words, {"MQJOBS_BROKER_URL": refused}) for words in few]) == []


async def test_a_traceback_of_the_app_shows_no_setting(shell: Shell) -> None:
    (shell.folder / "broken.py").write_text(
        "from mqjobs import App\n\napp = App()\nraise ValueError(f'{app.settings!r} {app.settings}')\n"
    )
    url = database_urls(1)[0]
    ran = await shell("topics", "--app", "broken:app", MQJOBS_DATABASE_URL=url)
    assert "ValueError" in ran.err
    assert shown(ran.out + ran.err) == []


@pytest.mark.parametrize(
    ("flag", "url"),
    [
        ("--database-url", "postgresql://ann:marked@127.0.0.1:1/jobs"),
        ("--database-url", "postgresql://ann@127.0.0.1:1/jobs?password=marked"),
        ("--broker-url", "amqp://ann:marked@127.0.0.1:1/"),
    ],
)
async def test_a_password_in_a_flag_is_warned_of(shell: Shell, flag: str, url: str) -> None:
    ran = await shell("queues", "list", flag, url, "--connect-timeout", "0.2")
    [warning] = [line for line in ran.err.splitlines() if "password_in_a_flag" in line]
    assert f"MQJOBS_{flag[2:].replace('-', '_').upper()}" in warning
    assert "marked" not in ran.out + ran.err


async def test_no_warning_without_a_password_in_a_flag(shell: Shell) -> None:
    url = shell.variables["MQJOBS_DATABASE_URL"]
    assert (await shell("jobs", "list", "--database-url", url)).err == ""
