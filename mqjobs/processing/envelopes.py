"""From bodies to envelopes and back; where messages are checked."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json
from uuid_utils.compat import uuid7

from mqjobs.model.errors import InvalidMessage
from mqjobs.model.job import is_storable
from mqjobs.model.message import Envelope, Message, Outgoing
from mqjobs.model.priority import Priority
from mqjobs.model.secrets import MARK, MASK, is_secret, mark_of, secret_paths
from mqjobs.model.topic import Topic, definition_of
from mqjobs.store.clock import DatabaseClock

RESERVED = "mqjobs-"
HEADER_LENGTH = 255
HEADERS = 100
HEADER_NAME_LENGTH = 100
HEADER_NAME = re.compile(rf"[\x21-\x7e]{{1,{HEADER_NAME_LENGTH}}}")
OF_OURS = (MARK,)
FOREVER = timedelta(days=3650)


class EnvelopeMaker:
    """Makes envelopes of bodies, by the database's clock and within the size that is allowed."""

    def __init__(self, clock: DatabaseClock, *, max_bytes: int) -> None:
        self.clock = clock
        self.max_bytes = max_bytes

    def seal(self, outgoing: Topic | Outgoing, *, job_id: int | None = None) -> Envelope:
        """The message as it will travel, with a new id. Raises InvalidMessage, or ConfigurationError for no name."""
        outgoing = _outgoing(outgoing)
        definition = definition_of(type(outgoing.body))
        now = self.clock.now()
        expires_in = _duration("expires_in", definition.name, outgoing.expires_in)
        return Envelope(
            id=uuid7(),
            topic=definition.name,
            body=self._json(definition.name, outgoing.body),
            priority=_priority(definition.name, outgoing.priority, definition.priority),
            sent_at=now,
            headers={
                **_checked_headers(definition.name, outgoing.headers),
                **mark_of(type(outgoing.body)),
            },
            job_id=job_id,
            expires_at=None if expires_in is None else now + expires_in,
            delay=_duration("delay", definition.name, outgoing.delay) or timedelta(0),
        )

    def check_size(self, envelope: Envelope) -> None:
        """A message that came is no larger than one that may be sent. Raises InvalidMessage that names what is."""
        if len(envelope.body) > self.max_bytes:
            raise InvalidMessage(
                f"the body has {len(envelope.body)} bytes, {self.max_bytes} are allowed: "
                "send it smaller, or raise MQJOBS_MAX_MESSAGE_BYTES where it is consumed"
            )
        if len(envelope.headers) > HEADERS + len(OF_OURS):
            raise InvalidMessage(f"there are {len(envelope.headers)} headers: {HEADERS} at most")
        for name, value in envelope.headers.items():
            if len(name) > HEADER_NAME_LENGTH or (
                len(value) > HEADER_LENGTH and name not in OF_OURS
            ):
                raise InvalidMessage(
                    f"header {name:.100} is too long: {HEADER_NAME_LENGTH} characters for a name, "
                    f"{HEADER_LENGTH} for a value are allowed"
                )

    def _json(self, topic: str, body: Topic) -> bytes:
        try:
            text = to_json(body, by_alias=True, round_trip=True)
        except (PydanticSerializationError, ValueError) as error:
            raise InvalidMessage(
                f"a message of {topic} cannot be written as JSON: {error}"
            ) from None
        if secret_paths(type(body)) and f'"{MASK}"'.encode() in text:
            raise InvalidMessage(
                f"a message of {topic} would carry asterisks in place of a secret: "
                "write the field as mqjobs.Secret instead of pydantic's SecretStr"
            )
        if len(text) > self.max_bytes:
            raise InvalidMessage(
                f"a message of {topic} has {len(text)} bytes, {self.max_bytes} are allowed: send a reference to "
                "the data instead, or raise MQJOBS_MAX_MESSAGE_BYTES"
            )
        return text


def body_of(topic: type[Topic], fields: Mapping[str, Any] | bytes | str) -> Topic:
    """The body that these fields (or this JSON) make. Raises InvalidMessage that names the field."""
    try:
        if isinstance(fields, bytes | str):
            return topic.model_validate_json(fields)
        return topic.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise InvalidMessage(
            f"the body is not a message of {definition_of(topic).name}: {_what_is_wrong(error, topic)}"
        ) from None
    except Exception as error:  # a validator of the topic's own may raise anything
        raise InvalidMessage(
            f"the body is not a message of {definition_of(topic).name}: {type(error).__name__}: {error}"
        ) from None


def open_envelope(envelope: Envelope, topic: type[Topic]) -> Message[Topic]:
    """The message in an envelope, its body checked. Raises InvalidMessage that names the field."""
    return Message(
        id=envelope.id,
        topic=envelope.topic,
        body=body_of(topic, envelope.body),
        priority=envelope.priority,
        headers=envelope.headers,
        sent_at=envelope.sent_at,
        attempt=envelope.attempt,
        job_id=envelope.job_id,
    )


def _outgoing(message: object) -> Outgoing:
    if isinstance(message, Topic):
        return Outgoing(message)
    if isinstance(message, Outgoing) and isinstance(message.body, Topic):
        return message
    raise InvalidMessage(f"{message!r:.200} is not a message: give an instance of a Topic class")


def _what_is_wrong(error: ValidationError, topic: type[Topic]) -> str:
    details = error.errors(include_url=False, include_input=False)
    faults = [_fault(topic, fault["loc"], fault["msg"]) for fault in details[:5]]
    return "; ".join(faults) + (f"; and {len(details) - 5} more" if len(details) > 5 else "")


def _fault(topic: type[Topic], place: Sequence[str | int], says: str) -> str:
    if not place:
        return says
    # A validator of the topic's own may quote what it was given.
    said = "the secret breaks a rule" if is_secret(topic, place) else says
    return f"field {'.'.join(str(part) for part in place)}: {said}"


def _priority(topic: str, given: Priority | int | None, default: Priority) -> Priority:
    if given is None:
        return default
    try:
        return Priority(given)
    except ValueError:
        raise InvalidMessage(
            f"priority {given!r} of a message of {topic}: 0 to 4, see Priority"
        ) from None


def _duration(word: str, topic: str, given: timedelta | float | None) -> timedelta | None:
    if given is None:
        return None
    try:
        duration = given if isinstance(given, timedelta) else timedelta(seconds=given)
    except (TypeError, ValueError, OverflowError):
        raise InvalidMessage(
            f"{word} {given!r} of a message of {topic} is not a duration"
        ) from None
    if not timedelta(0) <= duration <= FOREVER:
        raise InvalidMessage(f"{word} {given!r} of a message of {topic}: give 0 s to 10 years")
    return duration


def _checked_headers(topic: str, headers: Mapping[Any, Any]) -> Mapping[str, str]:
    if len(headers) > HEADERS:
        raise InvalidMessage(f"a message of {topic} has {len(headers)} headers: {HEADERS} at most")
    for name, value in headers.items():
        if (
            not isinstance(name, str)
            or not HEADER_NAME.fullmatch(name)
            or name.startswith(RESERVED)
        ):
            raise InvalidMessage(
                f"header {name!r} of a message of {topic}: use 1 to 100 visible ASCII characters, not {RESERVED}…"
            )
        if not isinstance(value, str) or len(value) > HEADER_LENGTH or not is_storable(value):
            raise InvalidMessage(
                f"header {name} of a message of {topic} needs a text of up to {HEADER_LENGTH} characters, no NUL"
            )
    return dict(headers)
