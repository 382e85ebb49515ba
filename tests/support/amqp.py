"""Queues and exchanges that a test declares in a broker which it shares with other tests."""

from dataclasses import dataclass, field

import aio_pika


@dataclass(frozen=True)
class Declared:
    """What to delete when the test is over; names that were never declared do no harm."""

    queues: set[str] = field(default_factory=set)
    exchanges: set[str] = field(default_factory=set)

    async def delete(self, url: str) -> None:
        """Delete all of it, with the messages in it."""
        if not (self.queues or self.exchanges):
            return
        async with await aio_pika.connect(url) as connection, connection.channel() as channel:
            for queue in self.queues:
                await channel.queue_delete(queue)
            for exchange in self.exchanges:
                await channel.exchange_delete(exchange)
