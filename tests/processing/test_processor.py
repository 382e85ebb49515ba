"""Processors: what an author writes, and what is there without it."""

import pytest

from mqjobs.processing.processor import Processor, TopicSubscriber
from tests.support.processors import Hearing
from tests.support.topics import Note


def test_a_subscriber_names_no_topic_and_no_queue_unless_it_does() -> None:
    assert (TopicSubscriber.topics, TopicSubscriber.queue) == ((), None)
    assert (Hearing().topics, Hearing(queue="slow").queue) == ((Note,), "slow")


def test_a_processor_that_processes_nothing_cannot_be_made() -> None:
    class Lazy(Processor):
        """Forgot its act."""

        topics = (Note,)

    with pytest.raises(TypeError, match="process"):
        Lazy()  # type: ignore[abstract]  # on purpose
