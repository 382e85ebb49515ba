"""The registry: at most one processor for each topic and queue, checked where it is subscribed."""

from typing import Any

import pytest

from mqjobs.model.errors import ConfigurationError
from mqjobs.model.message import Binding, Message
from mqjobs.model.result import Result
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context
from mqjobs.processing.processor import Processor
from mqjobs.processing.registry import Registry
from mqjobs.processing.topic_names import TopicNames


class Paid(Topic, name="order.paid"):
    """Knows nothing of jobs."""


class Shipped(Topic, name="order.shipped", queue="shipping"):
    """Has a queue of its own."""


class Import(Topic, name="import"):
    """Job-aware."""

    def job_name(self) -> str:
        return "import"


class Base(Topic):
    """Has no name."""


class PaidAgain(Topic, name="order.paid"):
    """Has another's name."""


class First(Processor):
    topics: tuple[Any, ...] = (Paid, Shipped)

    async def process(self, message: Message[Any], context: Context) -> Result:
        return Result.ACK


class Second(First):
    topics = (Paid,)


class Audit(First):
    topics = (Paid, Shipped)
    queue = "audit"


def registry(*processors: Processor) -> Registry:
    found = Registry(TopicNames())
    found.subscribe(processors)
    return found


class Bare(First):
    topics = Paid  # type: ignore[assignment]  # the comma is missing


def named(*topics: Any, queue: str | None = None) -> Processor:
    processor = First()
    processor.topics = topics
    processor.queue = queue
    return processor


def test_a_topic_is_taken_from_its_own_queue_or_from_the_processors() -> None:
    first, audit = First(), Audit()
    found = registry(first, audit)

    assert found.bindings() == [
        Binding("audit", "order.paid"),
        Binding("audit", "order.shipped"),
        Binding("default", "order.paid"),
        Binding("shipping", "order.shipped"),
    ]
    assert found.queues() == ["audit", "default", "shipping"]
    assert found.processor("audit", "order.paid") is audit
    assert found.processor("default", "order.paid") is first
    assert found.processor("default", "order.shipped") is None


def test_the_registry_knows_the_topics_by_name() -> None:
    assert registry(First()).names["order.paid"] is Paid


def test_subscribing_the_same_processor_again_changes_nothing() -> None:
    first = First()

    assert registry(first, first).bindings() == registry(first).bindings()


class Blocking(Processor):
    """Was written as if nothing else were to run."""

    topics = (Paid,)

    def process(  # type: ignore[override]  # it is not what it should be
        self, message: Message[Any], context: Context
    ) -> Result:
        return Result.ACK


@pytest.mark.parametrize(
    ("processors", "says"),
    [
        (
            [First(), Second()],
            "First and Second both take topic 'order.paid' from queue 'default': give one of them",
        ),
        ([First], "is not a Processor: subscribe instances, for example MyProcessor"),
        (
            [Blocking()],
            "Blocking.process is not async: write async def process, and put what blocks",
        ),
        ([named()], r"First names no topics: set topics = \(MyTopic,\)"),
        ([Bare()], r"Bare names no topics: set topics = \(MyTopic,\)"),
        ([named("order.paid")], "First names 'order.paid', which is not a Topic class"),
        ([named(Paid())], "First names Paid.*, which is not a Topic class"),
        ([named(Base)], "First: Base has no name"),
        (
            [named(Paid), named(PaidAgain, queue="b")],
            "topic 'order.paid' is both .*Paid and .*Again",
        ),
        (
            [named(Import), named(Import, queue="b")],
            "topic 'import' is job-aware and would go to the queues b, default",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_subscription_that_cannot_be_is_refused_and_names_who(
    processors: list[Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        registry(*processors)


@pytest.mark.parametrize("queue", [" ", "with space", "q" * 201, "ünicode", "a\x00"])
def test_a_processor_names_no_queue_that_cannot_be_one(queue: str) -> None:
    processor = First()
    processor.queue = queue
    with pytest.raises(ConfigurationError, match=r"First: .* cannot name a queue"):
        Registry(TopicNames()).subscribe([processor])
