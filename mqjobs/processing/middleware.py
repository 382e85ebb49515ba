"""Middleware: what wraps an attempt. The first of a list is the outermost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial, reduce
from typing import Any

from mqjobs.model.message import Message
from mqjobs.model.outcome import StopReason
from mqjobs.model.result import Result
from mqjobs.model.topic import definition_of
from mqjobs.processing.context import Context

Process = Callable[[Message[Any], Context], Awaitable[Result]]
Proceed = Callable[[], Awaitable[Result]]
Middleware = Callable[[Message[Any], Context, Proceed], Awaitable[Result]]


def wrapped(process: Process, middleware: Iterable[Middleware]) -> Process:
    """The processor's act inside these."""
    return reduce(_around, reversed(list(middleware)), process)


async def limit_time(message: Message[Any], context: Context, proceed: Proceed) -> Result:
    """The attempt's code is cancelled when it takes longer than its topic's timeout; that counts as an error."""
    timeout = definition_of(type(message.body)).timeout
    if timeout is None:
        return await proceed()
    clock = asyncio.get_running_loop()
    alarm = clock.call_later(timeout.total_seconds(), context.attempt.stop, StopReason.TIMED_OUT)
    try:
        return await proceed()
    finally:
        alarm.cancel()


def _around(inner: Process, middleware: Middleware) -> Process:
    async def process(message: Message[Any], context: Context) -> Result:
        return await middleware(message, context, partial(inner, message, context))

    return process
