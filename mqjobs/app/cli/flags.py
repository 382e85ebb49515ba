"""Flags: each has a MQJOBS_* variable, which the help shows."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import click

from mqjobs.app.settings import OF_FLAGS, PREFIX, Settings

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

LARGEST_ID = 2**63 - 1


def an_id(text: str) -> int:
    """The id of a job or a dead letter; a usage error where the text cannot be one."""
    if not text.isdecimal() or not 0 < int(text) <= LARGEST_ID:
        raise click.BadParameter(f"{text!r} is not an id: give a number from a listing")
    return int(text)


class Flag(click.Option):
    """A flag of one command; its variable is named after the command and the flag."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **{"show_envvar": True, **attributes})

    @property
    def word(self) -> str:
        """The flag as it is written, in capitals."""
        return max(self.opts, key=len).lstrip("-").replace("-", "_").upper()

    def variable(self, prefix: str) -> str:
        """The variable of this flag of the command whose variables begin so."""
        return f"{prefix}_{self.word}"

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self._know_variable(ctx)
        return super().get_help_record(ctx)

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        self._know_variable(ctx)
        return super().resolve_envvar_value(ctx)

    def _know_variable(self, ctx: click.Context) -> None:
        self.envvar = self.variable(ctx.auto_envvar_prefix or OF_FLAGS)


class SettingFlag(Flag):
    """A flag for a setting. Its variable is read with the other settings, and not here; its default is only shown."""

    def __init__(self, *args: Any, by_itself: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._by_itself = by_itself

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None or not self._by_itself:
            return record
        flags, text = record
        return flags, f"{text.removesuffix(']')}; default: {self._by_itself}]"

    def variable(self, prefix: str) -> str:
        return f"{PREFIX}{self.word}"

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return None


def flag(*names: str, **attributes: Any) -> Callable[[CommandT], CommandT]:
    """A flag of this command alone."""
    return click.option(*names, cls=Flag, **attributes)


def setting_flag(name: str, *, level: str) -> Callable[[CommandT], CommandT]:
    """A flag for the setting of this name, with the setting's own description and default.

    `level` is that from which on the command writes log lines by itself.
    """
    field = Settings.model_fields[name]
    return click.option(
        f"--{name.replace('_', '-')}",
        cls=SettingFlag,
        metavar=METAVARS.get(name, "TEXT"),
        help=field.description,
        by_itself=level if name == "log_level" else _shown(field.default),
    )


def _shown(default: object) -> str:
    if isinstance(default, timedelta):
        return f"{default.total_seconds():g}"
    return "" if default is None else str(default)


METAVARS = {
    "app": "MODULE:ATTR",
    "database_url": "URL",
    "broker_url": "URL",
    "connect_timeout": "SECONDS",
    "concurrency": "N",
    "prefetch": "N",
    "grace": "SECONDS",
    "message_limit": "N",
    "time_limit": "SECONDS",
    "memory_limit": "BYTES",
    "processes": "N",
    "health_port": "PORT",
    "health_host": "ADDRESS",
    "loop": "LOOP",
    "relay_interval": "SECONDS",
    "log_level": "LEVEL",
    "log_format": "FORMAT",
}

as_json = flag("--json", "as_json", is_flag=True, help="Write one JSON document.")
without_asking = flag("--yes", "-y", "without_asking", is_flag=True, help="Do not ask.")


def limit(default: int) -> Callable[[CommandT], CommandT]:
    """How many at most."""
    return flag(
        "--limit",
        metavar="N",
        type=click.IntRange(1, 10_000),
        default=default,
        show_default=True,
        help="How many at most.",
    )


def variables_of(command: click.Command, prefix: str = OF_FLAGS) -> Iterator[str]:
    """The variables of all flags of this command, and of those below it, that are not settings."""
    for parameter in command.params:
        if isinstance(parameter, Flag) and not isinstance(parameter, SettingFlag):
            yield parameter.variable(prefix)
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from variables_of(below, f"{prefix}_{name.replace('-', '_').upper()}")
