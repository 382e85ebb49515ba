"""The app: settings, topics and processors, and what is open while it runs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mqjobs.app.opening import OpenApp, consumer, opened
from mqjobs.app.settings import Settings, read_settings
from mqjobs.model.topic import Topic
from mqjobs.processing.middleware import Middleware
from mqjobs.processing.processor import Processor
from mqjobs.processing.registry import Registry
from mqjobs.processing.topic_names import TopicNames
from mqjobs.runtime.consumer import Consumer


class App:
    """What the consumer daemon is started with, and what producers open.

    Settings come from MQJOBS_* variables unless they are given. The first middleware is the outermost.
    """

    def __init__(
        self, settings: Settings | None = None, *, middleware: Sequence[Middleware] = ()
    ) -> None:
        self._settings = settings
        self.middleware = tuple(middleware)
        self.names = TopicNames()
        self.registry = Registry(self.names)

    @property
    def settings(self) -> Settings:
        """The settings; raises ConfigurationError where the environment has a bad one."""
        if self._settings is None:
            self._settings = read_settings()
        return self._settings

    def configure(self, settings: Settings) -> None:
        """These settings hold from now on, in place of those it had."""
        self._settings = settings

    def subscribe(self, *processors: Processor) -> None:
        """These processors take the messages of their topics. Raises ConfigurationError; see `Registry.subscribe`."""
        self.registry.subscribe(processors)

    def sends(self, *topics: type[Topic]) -> None:
        """Topics that are sent from here and that no processor here takes: known by name to `send_raw` and the CLI."""
        for topic in topics:
            self.names.add(topic, named_by="App.sends")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenApp]:
        """Connected: the producer, the jobs and the dead letters, until the block ends.

        A broker that is away may come later: what is sent waits in the outbox. Raises DatabaseUnavailable after
        `connect_timeout`, SchemaMismatch, ConfigurationError.
        """
        async with opened(self.settings, self.registry, self.middleware) as open_app:
            yield open_app

    @asynccontextmanager
    async def consumer(self, queues: Sequence[str] = ()) -> AsyncIterator[Consumer]:
        """A consumer of these queues, or of all: `await consumer.run(stop)` works until the event is set.

        What `mqjobs consume` runs, without its signals; for tests and for processes of your own. Raises what `open`
        does, BrokerUnavailable after `connect_timeout`, and ConfigurationError for a queue that no processor takes
        messages from.
        """
        async with consumer(self.settings, self.registry, self.middleware, queues) as running:
            yield running
