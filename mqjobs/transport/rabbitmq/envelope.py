"""An envelope as the properties and headers of an AMQP message, and back."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from mqjobs.model.message import Envelope
from mqjobs.model.priority import Priority

RESERVED = "mqjobs-"
ATTEMPT, JOB_ID = "mqjobs-attempt", "mqjobs-job-id"
CRASHES = "mqjobs-crashes"
EXPIRES_AT, SENT_AT = "mqjobs-expires-at", "mqjobs-sent-at"

# Headers that mean something to the broker, or that it adds. A message's own of these names travel disguised.
OF_THE_BROKER = {"CC", "BCC", "x-death", "x-delivery-count", "x-acquired-count"}
DISGUISE = "mqjobs-header-"

# The AMQP priorities of VERY_LOW … VERY_HIGH. Quorum queues before 4.3 tell 5 and above from the rest.
CLASSIC_LEVELS = (0, 1, 2, 3, 4)
QUORUM_LEVELS = (0, 1, 2, 5, 6)

MAX_ATTEMPT, MAX_JOB_ID = 2**31 - 1, 2**63 - 1


@dataclass(frozen=True, slots=True)
class Received:
    """What came from the broker; any of it may be missing or strange where another program sent it."""

    queue: str
    routing_key: str
    message_id: object
    type: object
    priority: object
    timestamp: object
    headers: object
    body: bytes


def properties_of(envelope: Envelope, levels: Sequence[int]) -> dict[str, Any]:
    """The AMQP properties that carry this envelope, by the names that AMQP gives them."""
    return {
        "message_id": str(envelope.id),
        "message_type": envelope.topic,
        "priority": levels[envelope.priority],
        "timestamp": envelope.sent_at,
        "content_type": "application/json",
        "delivery_mode": 2,
        "headers": _headers_of(envelope),
    }


def _headers_of(envelope: Envelope) -> dict[str, Any]:
    headers: dict[str, Any] = {
        **{_name_on_the_way(name): value for name, value in envelope.headers.items()},
        ATTEMPT: envelope.attempt,
        SENT_AT: envelope.sent_at.isoformat(),
    }
    if envelope.crashes:
        headers[CRASHES] = envelope.crashes
    if envelope.job_id is not None:
        headers[JOB_ID] = envelope.job_id
    if envelope.expires_at is not None:
        headers[EXPIRES_AT] = envelope.expires_at.isoformat()
    return headers


def envelope_of(
    received: Received, levels: Sequence[int], *, fresh_id: UUID, now: datetime
) -> Envelope:
    """The envelope of any message: what is missing or cannot be read has a default, nothing raises.

    `fresh_id` and `now` stand in for an id that is not a UUID and an unknown time of sending.
    """
    headers = received.headers if isinstance(received.headers, Mapping) else {}
    return Envelope(
        id=_uuid(received.message_id) or fresh_id,
        topic=_text(received.type or received.routing_key),
        body=received.body,
        priority=_priority(received.priority, levels),
        sent_at=_moment(headers.get(SENT_AT)) or _moment(received.timestamp) or now,
        queue=received.queue,
        headers=_own_headers(headers),
        attempt=_number(headers.get(ATTEMPT), MAX_ATTEMPT) or 1,
        job_id=_number(headers.get(JOB_ID), MAX_JOB_ID),
        expires_at=_moment(headers.get(EXPIRES_AT)),
        crashes=_number(headers.get(CRASHES), MAX_ATTEMPT) or 0,
    )


def _own_headers(headers: Mapping[Any, object]) -> dict[str, str]:
    return {
        _text(name).removeprefix(DISGUISE): _text(value)
        for name, value in headers.items()
        if str(name).startswith(DISGUISE) or not _is_reserved(str(name))
    }


def _name_on_the_way(name: str) -> str:
    return DISGUISE + name if _is_reserved(name) else name


def _is_reserved(name: str) -> bool:
    return name in OF_THE_BROKER or name.startswith(RESERVED)


def _text(value: object) -> str:
    # PostgreSQL, where the message may have to wait, keeps no NUL.
    return str(value).replace("\x00", "\\0")


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _priority(value: object, levels: Sequence[int]) -> Priority:
    if not isinstance(value, int):
        return Priority.NORMAL
    return Priority(max(0, bisect_right(levels, value) - 1))


def _number(value: object, largest: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= largest:
        return value
    return None


def _moment(value: object) -> datetime | None:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
