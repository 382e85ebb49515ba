"""Messages as they travel."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from mqjobs.model.message import Binding, Envelope, Outgoing, Sent
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.model.stopped import RootJobStopped

ENVELOPE = Envelope(
    id=UUID(int=1),
    topic="tests.topic",
    body=b'{"a": 1}',
    priority=Priority.HIGH,
    sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    headers={"tenant": "nord"},
    job_id=7,
    expires_at=datetime(2027, 1, 1, tzinfo=UTC),
)


def test_the_copy_that_comes_again_differs_in_queue_delay_and_attempt_alone() -> None:
    again = ENVELOPE.again("slow", timedelta(seconds=5), attempt=3)

    assert (again.queue, again.delay, again.attempt) == ("slow", timedelta(seconds=5), 3)
    assert again.again(None, timedelta(0), attempt=1) == ENVELOPE  # type: ignore[arg-type]  # undone


def test_a_message_is_never_changed_on_its_way() -> None:
    with pytest.raises(FrozenInstanceError):
        ENVELOPE.attempt = 2  # type: ignore[misc]  # frozen


def test_what_is_left_out_of_an_outgoing_message_is_the_topics_to_say() -> None:
    outgoing = Outgoing(RootJobStopped(job_id=1, name="import", status=JobStatus.SUCCESS))

    assert (outgoing.priority, outgoing.delay, outgoing.expires_in) == (None, 0, None)
    assert outgoing.headers == {}


def test_a_plain_message_that_was_sent_has_no_job_and_was_not_blocked() -> None:
    sent = Sent(UUID(int=1))

    assert (sent.job_id, sent.blocked_by) == (None, None)


def test_bindings_are_compared_by_what_they_bind() -> None:
    assert len({Binding("q", "t"), Binding("q", "t"), Binding("t", "q")}) == 2
