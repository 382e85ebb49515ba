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


ANSWER_TIMEOUT = timedelta(seconds=15)


@asynccontextmanager
async def in_our_words(
    lifeline: Lifeline, patience: timedelta = ANSWER_TIMEOUT
) -> AsyncIterator[None]:
    """What the driver raises in the block becomes one of ours, and the block ends with the line, or after so long."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        async with lifeline.call(patience):
            yield
    except asyncio.CancelledError:
        # The driver cancels what waits on a connection that is gone; that is not the end of this task.
        if task is None or task.cancelling() > before:
            raise
        raise BrokerUnavailable("the connection was cut") from None
    except (BrokerUnavailable, AMQPError, RuntimeError, OSError, StopAsyncIteration) as error:
        # And what waits on it when this task is cancelled raises what the connection was lost for instead.
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from error
        if isinstance(error, BrokerUnavailable):
            raise
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


def is_undecodable(error: BaseException) -> bool:
    """Whether the driver has given the connection up over what it could not decode."""
    if isinstance(error, InvalidFrameError):
        return True
    return isinstance(error, Exception) and not isinstance(error, AMQPError | OSError)
