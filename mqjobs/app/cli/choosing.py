"""Which dead letters a command means: some by their ids, those of a kind, or all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from mqjobs.app.cli.flags import CommandT, an_id, flag
from mqjobs.app.cli.office import Office
from mqjobs.app.cli.output import nearest
from mqjobs.model.message import DEAD_REASONS


@dataclass(frozen=True, slots=True)
class Chosen:
    """Dead letters: these, or without any those of this topic, queue and reason; `limit` of them at most."""

    ids: Sequence[int]
    kind: dict[str, str | None]
    limit: int | None

    @property
    def are_named(self) -> bool:
        """Whether they were chosen one by one."""
        return bool(self.ids)

    def told(self, number: int) -> str:
        """These, who are so many, in words."""
        kind = "".join(f" of {word} {value}" for word, value in self.kind.items() if value)
        are_all = number > 1 and self.limit is None and not self.are_named
        return f"{'all ' if are_all else ''}{counted(number)}{kind}"

    async def found(self, office: Office) -> Sequence[int]:
        """Their ids, the oldest first; those left out that die from now on."""
        if self.are_named:
            return list(dict.fromkeys(self.ids))[: self.limit]
        return await office.dead.ids(**self.kind, limit=self.limit)


def by_kind(command: CommandT) -> CommandT:
    """Flags for a kind of dead letters."""
    command = flag("--reason", type=a_reason, metavar="REASON", help=REASONS)(command)
    for name in ("queue", "topic"):
        command = flag(f"--{name}", metavar="TEXT", help=f"Only those of this {name}.")(command)
    return command


REASONS = f"Only those of this reason: {', '.join(DEAD_REASONS)}."


def a_reason(text: str) -> str:
    """Why a message may be a dead letter; a usage error for anything else, with the nearest."""
    if text not in DEAD_REASONS:
        raise click.BadParameter(nearest("reason", text, DEAD_REASONS))
    return text


def chosen(command: Callable[..., None]) -> Callable[..., None]:
    """Flags that choose dead letters; `chosen` is what the command gets of them."""

    @wraps(command)
    def choose(*args: Any, letter_ids: Sequence[int], everything: bool, **values: Any) -> None:
        kind = {name: values.pop(name) for name in ("topic", "queue", "reason")}
        limit = values.pop("limit")
        if letter_ids and (everything or any(kind.values())):
            raise click.UsageError("--all, --topic, --queue and --reason choose without ids")
        if not (letter_ids or everything or any(kind.values())):
            raise click.UsageError(
                "give ids of dead letters; or --topic, --queue or --reason; or --all"
            )
        command(*args, chosen=Chosen(letter_ids, kind, limit), **values)

    for decorate in (
        flag("--limit", metavar="N", type=click.IntRange(1), help="So many at most, the oldest."),
        by_kind,
        flag("--all", "everything", is_flag=True, help="All of them."),
        click.argument("letter_ids", type=an_id, nargs=-1),
    ):
        choose = decorate(choose)
    return choose


def counted(number: int) -> str:
    """So many dead letters, in words."""
    return f"{number:,} dead letter{'' if number == 1 else 's'}"
