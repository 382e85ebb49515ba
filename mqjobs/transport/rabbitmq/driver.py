"""What the driver raises, in our words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.transport.rabbitmq.lifeline import Lifeline


class Refused(Exception):
    """The broker refused what was asked of it, and closed the channel; the text is the broker's."""


class NotThere(Refused):
    """The queue or exchange is not there."""


class PreconditionFailed(Refused):
    """The queue or exchange is there, with other arguments; or the message is larger than the broker takes."""


class Unwritable(Exception):
    """AMQP cannot carry these properties: too long, too large, or not text."""


@asynccontextmanager
async def in_our_words(
    lifeline: Lifeline, patience: timedelta | None = None
) -> AsyncIterator[None]:
    """What the driver raises in the block becomes one of ours, and the block ends with the line."""
    try:
        async with lifeline.call(patience):
            yield
    except asyncio.CancelledError:
        # The driver cancels what waits on a connection that is gone; that is not the end of this task.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailable("the connection was cut") from None
    except (AMQPError, RuntimeError, OSError, StopAsyncIteration) as error:
        raise _meaning_of(error) from error


def _meaning_of(error: Exception) -> Refused | BrokerUnavailable:
    text = str(error) or repr(error)
    match error:
        case ChannelNotFoundEntity():
            return NotThere(text)
        case ChannelPreconditionFailed():
            return PreconditionFailed(text)
        case ChannelAccessRefused() | AuthenticationError() | ProbableAuthenticationError():
            return Refused(text)
        case InvalidFrameError() if "Connection.OpenOk" in text:
            return Refused("the virtual host is not there, or not open to this user")
    return BrokerUnavailable(text)
