"""What every command begins with: the app that is meant, the settings in force, the log."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
import structlog

from mqjobs.app.app import App
from mqjobs.app.cli.app_string import WAYS, app_of_project, load_app
from mqjobs.app.cli.flags import CommandT, setting_flag, variables_of
from mqjobs.app.logging import configure_logging
from mqjobs.app.settings import OF_FLAGS, PREFIX, Settings, read_settings
from mqjobs.model.errors import ConfigurationError
from mqjobs.model.message import Envelope
from mqjobs.model.secrets import without_secrets
from mqjobs.store.database import has_password

log = structlog.get_logger(__name__)

ParametersT = ParamSpec("ParametersT")
AnswerT = TypeVar("AnswerT")

DATABASE = ("app", "database_url", "connect_timeout", "log_level", "log_format")
SERVERS = ("app", "database_url", "broker_url", "connect_timeout", "log_level", "log_format")
APP = ("app",)


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings in force, and the app; one without topics where none was named."""

    settings: Settings
    app: App
    app_name: str | None

    def require_app(self) -> App:
        """The app that was named. Raises ConfigurationError where none was."""
        if self.app_name is None:
            raise ConfigurationError(f"no app is named\n{WAYS}")
        return self.app

    def shown(self, envelope: Envelope) -> Envelope:
        """The message without its secrets."""
        known = envelope.topic in self.app.names
        return without_secrets(envelope, self.app.names[envelope.topic] if known else None)


def with_setup(
    *settings: str, level: str = "warning"
) -> Callable[[Callable[Concatenate[Setup, ParametersT], AnswerT]], Callable[ParametersT, AnswerT]]:
    """Flags for these settings, and the setup as first argument.

    The log begins at `level`, unless somebody set another.
    """

    def decorate(
        command: Callable[Concatenate[Setup, ParametersT], AnswerT],
    ) -> Callable[ParametersT, AnswerT]:
        @wraps(command)
        def run(*args: ParametersT.args, **values: ParametersT.kwargs) -> AnswerT:
            flags = {name: values.pop(name, None) for name in settings}
            return command(set_up(flags, level), *args, **values)

        return with_flags(*settings, level=level)(run)

    return decorate


def with_flags(*settings: str, level: str = "warning") -> Callable[[CommandT], CommandT]:
    """Flags for these settings, of a command whose log begins at this level."""

    def decorate(command: CommandT) -> CommandT:
        for name in reversed(settings):
            command = setting_flag(name, level=level)(command)
        return command

    return decorate


def set_up(flags: Mapping[str, Any], level: str = "warning") -> Setup:
    """The setup that these flags, the variables and the app ask for; flags come before all else.

    Raises ConfigurationError.
    """
    check_variables_of_flags()
    named = name_of_app(flags)
    app = load_app(named) if named else App()
    settings = settle(app, flags)
    begin_log(settings, level)
    warn_of_passwords(flags)
    return Setup(settings, app, named)


def warn_of_passwords(flags: Mapping[str, Any]) -> None:
    """Whoever may list the processes of this machine reads the flags of this one."""
    for name in ("database_url", "broker_url"):
        if has_password(flags.get(name) or ""):
            log.warning(
                "password_in_a_flag",
                seen_by="all who list processes",
                instead=f"{PREFIX}{name.upper()}",
            )


def name_of_app(flags: Mapping[str, Any]) -> str | None:
    """The app string in the flags, the variable or the project's file. Raises ConfigurationError."""
    return flags.get("app") or os.environ.get(f"{PREFIX}APP") or app_of_project(Path.cwd())


def settle(app: App, flags: Mapping[str, Any]) -> Settings:
    """The app has its settings with what the flags change. Raises ConfigurationError."""
    given = {name: value for name, value in flags.items() if value is not None}
    base = app.settings
    known = {name: getattr(base, name) for name in base.model_fields_set}
    settings = read_settings(**{**known, **given})
    app.configure(settings)
    return settings


def begin_log(settings: Settings, level: str) -> None:
    """Log lines go to standard error, from the level that was set on, else from this one on."""
    if "log_level" in settings.model_fields_set:
        level = settings.log_level
    configure_logging(level, settings.log_format, sys.stderr)


def check_variables_of_flags() -> None:
    """Raises ConfigurationError for a variable that would be a flag's, if there were that flag."""
    known = set(variables_of(click.get_current_context().find_root().command))
    for variable in sorted(name for name in os.environ if name.startswith(f"{OF_FLAGS}_")):
        if variable not in known:
            near = get_close_matches(variable, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see --help of the command"
            raise ConfigurationError(f"{variable} is no flag's variable; {hint}")
