"""Declaring: the queues of an app's processors are there, and known, before it sends or consumes."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.message import Binding
from mqjobs.processing.registry import Registry
from mqjobs.store.database import Pool
from mqjobs.store.messages import bind
from mqjobs.store.outages import patiently
from mqjobs.transport.seam import Transport

PAUSE = 0.2


async def declare(
    registry: Registry, transport: Transport, pool: Pool, patience: timedelta
) -> None:
    """The queues take the topics of their processors, in the broker and in the database.

    A server that was there and goes away meanwhile is waited for; raises BrokerUnavailable or DatabaseUnavailable
    where that takes longer than `patience`.
    """
    bindings = registry.bindings()
    if not bindings:
        return
    await _declare_in_broker(transport, bindings, patience)

    async def note() -> None:
        async with pool.acquire() as connection:
            await bind(connection, bindings)

    await patiently("the bindings", note, patience=patience)


async def _declare_in_broker(
    transport: Transport, bindings: Sequence[Binding], patience: timedelta
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.total_seconds()
    while True:
        try:
            return await transport.declare(bindings)
        except BrokerUnavailable:
            if loop.time() >= deadline:
                raise
        await asyncio.sleep(PAUSE)
