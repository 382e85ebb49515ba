"""The commands that the documentation shows, and whether they exist."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import click

from mqjobs.app.cli import main
from tests.docs.pages import ROOT, Block

OTHERS = {"cp", "docker", "export", "pip"}
"""Programs that are not this project's; what they are asked for is not checked."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line behind a `$`, as a shell takes it apart, and the lines that it is shown to print."""

    words: tuple[str, ...]
    place: str
    prints: tuple[str, ...] = ()

    @property
    def faults(self) -> list[str]:
        """What of it does not exist."""
        program, *rest = self.words
        match program:
            case "mqjobs":
                return _faults_of_mqjobs(main, rest)
            case "make":
                return _faults_of_make(rest)
            case ".venv/bin/python" if rest[:1] == ["-m"]:
                return [] if find_spec(rest[1]) else [f"no module {rest[1]}"]
            case _:
                return [] if program in OTHERS else [f"no program {program}"]


def commands_in(block: Block) -> list[Command]:
    """The commands of a block; the other lines are what the one before them prints."""
    _, *parts = re.split(r"^\$ ", block.code.replace("\\\n", " "), flags=re.MULTILINE)
    found = []
    for part in parts:
        line, *prints = part.splitlines()
        words = shlex.split(line, comments=True)
        found.append(Command(tuple(words), block.place, tuple(prints)))
    return found


def _faults_of_mqjobs(command: click.Command, words: Sequence[str]) -> list[str]:
    context = click.Context(command, info_name="mqjobs")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        below = command.get_command(context, words[0])
        if below is None:
            return [f"no command {words[0]} in mqjobs {context.command.name}"]
        command, words = below, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    options = {
        name
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    asked = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    return [f"no option {option} of {command.name}" for option in sorted(asked - options)]


def _faults_of_make(words: Sequence[str]) -> list[str]:
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    variables = set(re.findall(r"\$\(([A-Z]+)\)", text))
    faults = []
    for word in words:
        name, equals, _ = word.partition("=")
        if name not in (variables if equals else targets):
            faults.append(f"no {'variable' if equals else 'target'} {name} of make")
    return faults
