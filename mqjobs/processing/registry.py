"""The registry: which processor takes which topic from which queue."""

from collections.abc import Collection, Iterable, Sequence
from inspect import iscoroutinefunction, unwrap

from mqjobs.model.errors import ConfigurationError
from mqjobs.model.message import Binding
from mqjobs.model.topic import Topic, checked_queue, definition_of
from mqjobs.processing.processor import Processor
from mqjobs.processing.topic_names import TopicNames


class Registry:
    """Processors by queue and topic, at most one for each pair."""

    def __init__(self, names: TopicNames) -> None:
        self.names = names
        self._processors: dict[Binding, Processor] = {}

    def subscribe(self, processors: Iterable[Processor]) -> None:
        """These processors take the messages of their topics.

        Raises ConfigurationError, which names both sides, for a topic that is none or has no name, a topic that two
        processors take from one queue, and a job-aware topic that would go to two queues; and for a `process` that
        is not async.
        """
        for processor in processors:
            if not isinstance(processor, Processor):
                raise ConfigurationError(
                    f"{processor!r} is not a Processor: subscribe instances, for example MyProcessor()"
                )
            who = type(processor).__qualname__
            if not iscoroutinefunction(unwrap(processor.process)):
                raise ConfigurationError(
                    f"{who}.process is not async: write async def process, and put what blocks into asyncio.to_thread"
                )
            topics: object = processor.topics
            if not isinstance(topics, Collection) or not topics:
                raise ConfigurationError(f"{who} names no topics: set topics = (MyTopic,)")
            for named in processor.topics:
                self._bind(processor, self.names.add(named, named_by=who), who)

    def _bind(self, processor: Processor, topic: type[Topic], who: str) -> None:
        definition = definition_of(topic)
        binding = Binding(checked_queue(who, processor.queue or definition.queue), definition.name)
        other = self._processors.setdefault(binding, processor)
        if other is not processor:
            raise ConfigurationError(
                f"{type(other).__qualname__} and {who} both take topic {binding.topic!r} from queue "
                f"{binding.queue!r}: give one of them another queue, or unsubscribe it"
            )
        queues = sorted(each.queue for each in self._processors if each.topic == binding.topic)
        if definition.is_job_aware and len(queues) > 1:
            raise ConfigurationError(
                f"{who}: topic {binding.topic!r} is job-aware and would go to the queues {', '.join(queues)}: "
                "its job runs once, so one queue takes it"
            )

    def processor(self, queue: str, topic: str) -> Processor | None:
        """The processor of a topic's messages from this queue."""
        return self._processors.get(Binding(queue, topic))

    def bindings(self) -> Sequence[Binding]:
        """Which queues take which topics."""
        return sorted(self._processors, key=lambda each: (each.queue, each.topic))

    def queues(self) -> list[str]:
        """Every queue that a processor takes messages from."""
        return sorted({binding.queue for binding in self._processors})
