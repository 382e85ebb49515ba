"""Which event loop a daemon runs on: uvloop is faster, and an extra."""

import asyncio
from collections.abc import Callable
from typing import Literal, TypeAlias

from mqjobs.model.errors import ConfigurationError

LoopName: TypeAlias = Literal["auto", "asyncio", "uvloop"]
NewLoop: TypeAlias = Callable[[], asyncio.AbstractEventLoop]


def choose_loop(setting: LoopName) -> tuple[str, NewLoop]:
    """The name of the loop and how to make one. Raises ConfigurationError where uvloop is wanted and not installed."""
    if setting == "asyncio":
        return "asyncio", asyncio.new_event_loop
    try:
        from uvloop import new_event_loop  # noqa: PLC0415  an extra
    except ImportError:
        if setting == "uvloop":
            raise ConfigurationError(
                "MQJOBS_LOOP is uvloop, which is not installed: pip install 'mqjobs[speed]'"
            ) from None
        return "asyncio", asyncio.new_event_loop
    return "uvloop", new_event_loop
