"""Processors: the classes that do what topics ask."""

from abc import ABC, abstractmethod
from typing import Any

from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context


class TopicSubscriber:
    """Binds a processor to topics: those in `topics`, on `queue` or, where that is None, on each topic's own queue."""

    topics: tuple[type[Topic], ...] = ()
    queue: str | None = None


class Processor(TopicSubscriber, ABC):
    """Acts on the messages of its topics.

    class IndexDocProcessor(Processor):
        topics = (IndexDoc,)

        async def process(self, message: Message[IndexDoc], context: Context) -> Result: ...

    One instance serves all messages of a consumer, many at a time.
    """

    @abstractmethod
    async def process(self, message: Message[Any], context: Context) -> Result:
        """Act on one message.

        ACK: done. REJECT: kept as a dead letter. REQUEUE, or raising Redeliver: the message comes again after a delay.
        Another exception: it comes again as the topic's retry policy says, then is kept as a dead letter.
        """
