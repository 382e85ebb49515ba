"""Queues and exchanges that a test declares in a broker which it shares with other tests."""

from dataclasses import dataclass, field

import aio_pika

from tests.support.servers import Broker


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


def write_declarations(broker: Broker) -> None:
    """Have what was declared so far on disk, so that it is there after a kill of the broker.

    A broker before 4.0 confirms a declaration at once and writes it up to two seconds later: a
    durable queue younger than that may be gone after a crash, with the confirmed messages in it.
    """
    broker.rabbitmqctl("eval", "mnesia:sync_log().")
