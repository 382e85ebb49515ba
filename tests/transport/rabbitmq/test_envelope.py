"""Envelopes as AMQP properties: what goes there comes back, and anything at all can be read."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqjobs.model.message import Envelope
from mqjobs.model.priority import Priority
from mqjobs.transport.rabbitmq.envelope import (
    CLASSIC_LEVELS,
    QUORUM_LEVELS,
    Received,
    envelope_of,
    properties_of,
)
from tests.support.envelopes import an_envelope

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
FRESH = UUID("01890000-0000-7000-8000-000000000000")


def read(levels: tuple[int, ...] = CLASSIC_LEVELS, **fields: Any) -> Envelope:
    """What is made of a message with these properties and no others."""
    nothing: dict[str, Any] = {
        "queue": "q",
        "routing_key": "key",
        "message_id": None,
        "type": None,
        "priority": None,
        "timestamp": None,
        "headers": None,
        "body": b"",
    }
    return envelope_of(Received(**(nothing | fields)), levels, fresh_id=FRESH, now=NOW)


def there_and_back(envelope: Envelope, levels: tuple[int, ...]) -> Envelope:
    """The envelope after its way through a broker."""
    properties = properties_of(envelope, levels)
    return read(
        levels,
        message_id=properties["message_id"],
        type=properties["message_type"],
        priority=properties["priority"],
        timestamp=properties["timestamp"].replace(microsecond=0),
        headers=properties["headers"],
        body=envelope.body,
    )


@pytest.mark.parametrize("levels", [CLASSIC_LEVELS, QUORUM_LEVELS])
@given(
    headers=st.dictionaries(
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    ),
    priority=st.sampled_from(Priority),
    attempt=st.integers(1, 2**31 - 1),
    job_id=st.none() | st.integers(1, 2**63 - 1),
    sent_at=st.datetimes(timezones=st.just(UTC)),
    expires_at=st.none() | st.datetimes(timezones=st.just(UTC)),
)
def test_all_that_an_envelope_says_survives(levels: tuple[int, ...], **fields: Any) -> None:
    envelope = an_envelope("some.topic", body=b"{}", queue="q", **fields)
    assert there_and_back(envelope, levels) == envelope


@pytest.mark.parametrize("name", ["CC", "BCC", "x-death", "mqjobs-attempt", "mqjobs-header-x"])
def test_a_header_with_a_name_that_means_something_else_is_still_the_messages_own(
    name: str,
) -> None:
    envelope = an_envelope(headers={name: "mine"}, queue="q")
    assert name not in properties_of(envelope, CLASSIC_LEVELS)["headers"] or name.startswith("mq")
    assert there_and_back(envelope, CLASSIC_LEVELS) == envelope


def test_a_message_that_says_nothing_has_the_defaults() -> None:
    envelope = read(body=b"\x00")
    assert envelope == Envelope(
        id=FRESH, topic="key", body=b"\x00", priority=Priority.NORMAL, sent_at=NOW, queue="q"
    )


def test_quorum_queues_tell_high_and_above_from_the_rest() -> None:
    sent = [
        properties_of(an_envelope(priority=priority), QUORUM_LEVELS)["priority"]
        for priority in Priority
    ]
    assert [level >= 5 for level in sent] == [False, False, False, True, True]
    assert sent == sorted(set(sent))


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        (255, Priority.VERY_HIGH),
        (-1, Priority.VERY_LOW),
        (4, Priority.VERY_HIGH),
        ("3", Priority.NORMAL),
    ],
)
def test_strange_priorities_become_the_nearest(priority: object, expected: Priority) -> None:
    assert read(priority=priority).priority is expected


@pytest.mark.parametrize(
    "headers",
    [
        {"mqjobs-attempt": "2"},
        {"mqjobs-attempt": 0},
        {"mqjobs-attempt": True},
        {"mqjobs-attempt": 2**40},
        {"mqjobs-job-id": b"7"},
        {"mqjobs-job-id": -7},
        {"mqjobs-expires-at": "tomorrow"},
        {"mqjobs-expires-at": "0001-01-01T00:00:00+23:59"},
        {"mqjobs-sent-at": 12},
        {"mqjobs-unknown": {"a": 1}},
    ],
)
def test_broken_headers_of_ours_are_ignored(headers: dict[str, object]) -> None:
    assert read(headers=headers) == read()


def test_headers_of_others_become_text() -> None:
    headers = {"n": 1, "table": {"a": [1]}, "nul": "a\x00b", "x-death": [{"count": 1}]}
    assert read(headers=headers).headers == {"n": "1", "table": "{'a': [1]}", "nul": "a\\0b"}


def test_times_without_a_zone_are_utc() -> None:
    assert read(timestamp=datetime(2020, 1, 1)).sent_at == datetime(2020, 1, 1, tzinfo=UTC)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(
    message_id=anything,
    type=anything,
    priority=anything,
    timestamp=anything,
    headers=anything
    | st.dictionaries(
        st.sampled_from(
            ["mqjobs-attempt", "mqjobs-job-id", "mqjobs-expires-at", "mqjobs-sent-at", "own"]
        ),
        anything,
    ),
    routing_key=st.text(),
)
def test_whatever_comes_can_be_read(**fields: Any) -> None:
    envelope = read(**fields)
    assert isinstance(envelope.id, UUID)
    assert envelope.sent_at.tzinfo is not None
    assert "\x00" not in envelope.topic
    assert all("\x00" not in text for header in envelope.headers.items() for text in header)
