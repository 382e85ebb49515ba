"""Where errors become exit codes, and one clear message each."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import click

from mqjobs.app.exits import Exit
from mqjobs.app.logging import is_for_people
from mqjobs.model.errors import (
    BrokerUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    Forbidden,
    InvalidJobName,
    InvalidMessage,
    MqjobsError,
    SchemaMismatch,
    UnknownTopic,
)
from mqjobs.store.database import forbidden, is_forbidden

EXITS: tuple[tuple[type[MqjobsError], Exit], ...] = (
    (SchemaMismatch, Exit.DATABASE),
    (DatabaseUnavailable, Exit.DATABASE),
    (BrokerUnavailable, Exit.BROKER),
    (ConfigurationError, Exit.USAGE),
    (Forbidden, Exit.USAGE),
    (InvalidMessage, Exit.USAGE),
    (UnknownTopic, Exit.USAGE),
    (InvalidJobName, Exit.USAGE),
    (MqjobsError, Exit.FAILED),
)


def exit_for(error: MqjobsError) -> Exit:
    """The exit code of this error."""
    return next(code for kind, code in EXITS if isinstance(error, kind))


class Failure(click.ClickException):
    """Ends the command with this message on standard error and this exit code."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]


class FailingGroup(click.Group):
    """The command line as a whole: what it raises, ends it with a message and the exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, asyncio.CancelledError):
            if is_for_people():
                click.echo("stopped at once", err=True)
            sys.exit(Exit.STOPPED)
        except (Exception, BaseExceptionGroup) as error:
            known = next(_known_in(error), None)
            if known is None:
                raise
            raise Failure(str(known), exit_for(known)) from None


def _known_in(error: BaseException) -> Iterator[MqjobsError]:
    if isinstance(error, MqjobsError):
        yield error
    elif isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _known_in(each)
    elif is_forbidden(error):
        yield forbidden(error)
