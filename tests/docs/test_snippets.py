"""The documentation is true: its code runs, its commands and settings exist, its links lead somewhere."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from mqjobs.app.cli import main
from mqjobs.app.cli.flags import variables_of
from mqjobs.app.settings import PREFIX, Settings
from tests.docs.commands import Command, commands_in
from tests.docs.frames import FRAMES, framed
from tests.docs.pages import LANGUAGES, ROOT, Block, Page, blocks, page_at, pages
from tests.support.waiting import eventually

PAGES = pages()
PYTHON = blocks("python")
COMMANDS = [command for block in blocks("console") for command in commands_in(block)]
CONSUME = ("mqjobs", "consume")
OF_THE_README = [
    command
    for command in COMMANDS
    if command.place.startswith("README.md") and command.words[0] == "mqjobs"
]
DEADLINE = 60
TIME = r"\d+(\.\d+)? m?s\b"


def place(block: Block) -> str:
    return block.place


def path(page: Page) -> str:
    return page.path


@pytest.mark.parametrize("page", PAGES, ids=path)
def test_no_block_is_in_a_language_that_nobody_checks(page: Page) -> None:
    assert page.text.count("\n```") == 2 * len(page.blocks)
    assert [block.place for block in page.blocks if block.language not in LANGUAGES] == []
    assert [block.place for block in page.blocks if block.frame not in {None, *FRAMES}] == []


@pytest.mark.parametrize("block", PYTHON, ids=place)
async def test_python_in_the_documentation_runs(
    block: Block, database_url: str, tmp_path: Path
) -> None:
    write_files_of(block.page, tmp_path)

    await run(tmp_path, database_url, *arguments_for(block, tmp_path))


async def test_the_example_of_the_readme_checks_a_folder(database_url: str, tmp_path: Path) -> None:
    write_files_of("README.md", tmp_path)
    folder = tmp_path / "some"
    (folder / "not a file").mkdir(parents=True)
    (folder / "a file").write_text("content")
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVE_README)

    printed = await run(tmp_path, database_url, str(driver), str(folder))

    assert printed.splitlines() == [
        "failed",
        f"checksums:{folder} success None",
        "file:a file success {'sha256': "
        "'ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73'}",
        "file:not a file failed None",
    ]


DRIVE_README = """
import asyncio
import sys

from checksums import CheckFolder, app
from mqjobs.app.logging import configure_logging
from mqjobs.app.opening import consumer


async def main():
    configure_logging()
    stop = asyncio.Event()
    async with (
        consumer(app.settings, app.registry, app.middleware) as running,
        asyncio.TaskGroup() as group,
        app.open() as mq,
    ):
        group.create_task(running.run(stop))
        sent = await mq.producer.send(CheckFolder(folder=sys.argv[1]))
        assert (await mq.producer.send(CheckFolder(folder=sys.argv[1]))).blocked_by == sent.job_id
        async with asyncio.timeout(30):
            while not (root := await mq.jobs.get(sent.job_id)).status.is_terminal:
                await asyncio.sleep(0.05)
        print(root.status)
        children = await mq.jobs.children(root.id)
        for child in sorted(children, key=lambda child: child.name):
            print(child.name, child.status, child.data)
        stop.set()


asyncio.run(main())
"""


def test_commands_in_the_documentation_exist() -> None:
    faults = [f"{command.place}: {fault}" for command in COMMANDS for fault in command.faults]
    assert faults == []


async def test_the_commands_of_the_readme_work_one_after_the_other(
    database_url: str, tmp_path: Path
) -> None:
    write_files_of("README.md", tmp_path)
    (tmp_path / "holiday" / "films").mkdir(parents=True)
    (tmp_path / "holiday" / "sea.jpg").write_text("content")
    (consume,) = (command for command in OF_THE_README if command.words[:2] == CONSUME)

    async with running(tmp_path, database_url, consume):
        for command in OF_THE_README:
            if command is not consume:
                await eventually(partial(prints_what_is_shown, tmp_path, database_url, command))


async def prints_what_is_shown(folder: Path, database_url: str, command: Command) -> bool:
    """Whether the command printed the lines that the page has, whatever time they took; it must not fail."""
    printed = await run(folder, database_url, "-m", *command.words)
    shown = "\n".join(command.prints)
    return not shown or re.sub(TIME, "", printed.strip()) == re.sub(TIME, "", shown)


@asynccontextmanager
async def running(folder: Path, database_url: str, consume: Command) -> AsyncIterator[None]:
    """A consumer that has declared its queues, until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *consume.words,
        cwd=folder,
        env=environment(folder, database_url),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(DEADLINE):
            while b"consuming" not in (line := await process.stderr.readline()):
                assert line, "the consumer ended"
        yield
        process.terminate()
        async with asyncio.timeout(DEADLINE):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize("page", PAGES, ids=path)
def test_links_lead_somewhere(page: Page) -> None:
    assert [link for link in page.links if not leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=path)
def test_settings_that_are_named_exist(page: Page) -> None:
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    flags = set(variables_of(main))
    assert page.settings - settings - flags - variables_of_the_tests() == set()


def write_files_of(page: str, folder: Path) -> None:
    """The files that the page makes up, block by block: those of one title are one file."""
    for block in page_at(page).blocks:
        if block.title is not None:
            file = folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as opened:
                opened.write(block.code)


def arguments_for(block: Block, folder: Path) -> list[str]:
    """What Python is told to run: the file's import or its tests, or the program that the block is."""
    if block.title is None:
        program = folder / "program.py"
        program.write_text(block.code if block.frame is None else framed(block.frame, block.code))
        return [str(program)]
    if Path(block.title).name.startswith("test_"):
        return ["-m", "pytest", "-q", "-p", "no:cacheprovider", block.title]
    module = block.title.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return ["-c", f"import {module}"]


async def run(folder: Path, database_url: str, *arguments: str) -> str:
    """What Python printed; fails where it did not end with 0 in time."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=folder,
        env=environment(folder, database_url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            printed, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, f"{printed.decode()}\n{errors.decode()}"
    return printed.decode()


def environment(folder: Path, database_url: str) -> Mapping[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return inherited | {
        "MQJOBS_APP": "checksums:app",
        "MQJOBS_DATABASE_URL": database_url,
        "PYTHONPATH": str(folder),
    }


def leads_somewhere(page: Page, link: str) -> bool:
    target, _, anchor = link.partition("#")
    file = (ROOT / page.path).parent / target if target else ROOT / page.path
    if not file.exists():
        return False
    if not anchor:
        return True
    return anchor in page_at(str(file.resolve().relative_to(ROOT))).anchors


def variables_of_the_tests() -> set[str]:
    """Those with which a test run is told of its servers."""
    prefix = f"{PREFIX}TEST_"
    support = [file.read_text("utf-8") for file in (ROOT / "tests").rglob("*.py")]
    named = {name for page in PAGES for name in page.settings if name.startswith(prefix)}
    return {name for name in named if any(f'"{name}"' in text for text in support)}
