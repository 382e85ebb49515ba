"""Messages for tests."""

from datetime import UTC, datetime
from typing import Any

from uuid_utils.compat import uuid7

from mqjobs.model.message import Envelope
from mqjobs.model.priority import Priority


def an_envelope(topic: str = "tests.topic", **fields: Any) -> Envelope:
    """A message of this topic, all else as given or as plain as can be."""
    return Envelope(
        **{
            "id": uuid7(),
            "topic": topic,
            "body": b"{}",
            "priority": Priority.NORMAL,
            "sent_at": datetime.now(UTC),
            **fields,
        }
    )
