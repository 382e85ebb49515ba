"""From bodies to envelopes and back: what is sent is what arrives, and bad input names itself."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr, field_serializer, field_validator

from mqjobs.model.errors import ConfigurationError, InvalidMessage
from mqjobs.model.message import Outgoing
from mqjobs.model.priority import Priority
from mqjobs.model.secrets import Secret, without_secrets
from mqjobs.model.topic import Topic
from mqjobs.processing.envelopes import EnvelopeMaker, body_of, open_envelope
from mqjobs.store.clock import DatabaseClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MAKER = EnvelopeMaker(DatabaseClock(NOON, lambda: 0.0), max_bytes=1000)


class Rich(Topic, name="tests.rich", priority=Priority.LOW):
    """Has fields of many kinds."""

    text: str
    day: date = date(2026, 1, 1)
    price: Decimal = Decimal("1.10")
    tags: tuple[str, ...] = ()
    renamed: int = Field(1, alias="re-named")


class Login(Topic, name="tests.login"):
    """Has a secret."""

    token: Secret

    @field_validator("token")
    @classmethod
    def begin_with_t(cls, token: SecretStr) -> SecretStr:
        if not token.get_secret_value().startswith("t"):
            raise ValueError(f"{token.get_secret_value()} has to begin with t")
        return token


class Masked(Topic, name="tests.masked"):
    """Has a secret of a kind that does not travel."""

    token: SecretStr


class Nameless(Topic):
    """A base."""


class Faulty(Topic, name="tests.faulty"):
    """Its own code fails."""

    text: str = "a"

    @field_serializer("text")
    def write(self, text: str) -> str:
        raise RuntimeError("cannot write")

    @field_validator("text")
    @classmethod
    def read(cls, text: str) -> str:
        if text == "b":
            raise RuntimeError("cannot read")
        return text


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@given(
    text=texts,
    tags=st.lists(texts, max_size=5),
    price=st.decimals(allow_nan=False, allow_infinity=False, places=2, max_value=10**9),
)
def test_what_is_sealed_is_what_is_opened(text: str, tags: list[str], price: Decimal) -> None:
    body = Rich.model_validate({"text": text, "tags": tags, "price": price, "re-named": 7})

    message = open_envelope(MAKER.seal(body), Rich)

    assert message.body == body


def test_what_is_left_out_comes_from_the_topic_and_the_databases_clock() -> None:
    envelope = MAKER.seal(Rich(text="a"))

    assert (envelope.topic, envelope.priority, envelope.sent_at) == (
        "tests.rich",
        Priority.LOW,
        NOON,
    )
    assert (envelope.headers, envelope.delay, envelope.expires_at) == ({}, timedelta(0), None)
    assert (envelope.queue, envelope.attempt, envelope.job_id) == (None, 1, None)


def test_every_message_has_an_id_of_its_own_that_sorts_by_time() -> None:
    ids = [MAKER.seal(Rich(text="a")).id for _ in range(100)]

    assert ids == sorted(set(ids))
    assert {each.version for each in ids} == {7}


def test_what_is_given_holds_for_this_message() -> None:
    envelope = MAKER.seal(
        Outgoing(
            Rich(text="a"),
            priority=Priority.HIGH,
            delay=2.5,
            expires_in=timedelta(hours=1),
            headers={"tenant": "nord"},
        ),
        job_id=7,
    )

    assert (envelope.priority, envelope.delay) == (Priority.HIGH, timedelta(seconds=2.5))
    assert (envelope.expires_at, envelope.headers) == (
        NOON + timedelta(hours=1),
        {"tenant": "nord"},
    )
    assert envelope.job_id == 7


def test_an_opened_message_says_what_its_envelope_did() -> None:
    envelope = MAKER.seal(Outgoing(Rich(text="a"), headers={"a": "b"}), job_id=7)

    message = open_envelope(envelope, Rich)

    for field in ("id", "topic", "priority", "headers", "sent_at", "attempt", "job_id"):
        assert getattr(message, field) == getattr(envelope, field), field


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"delay": -1}, "delay -1 of a message of tests.rich: give 0 s to 10 years"),
        ({"delay": float("nan")}, "delay nan of a message of tests.rich is not a duration"),
        ({"delay": float("inf")}, "delay inf of a message of tests.rich is not a duration"),
        ({"delay": "soon"}, "delay 'soon' of a message of tests.rich is not a duration"),
        ({"expires_in": timedelta(days=4000)}, "expires_in .* give 0 s to 10 years"),
        ({"priority": 5}, "priority 5 of a message of tests.rich: 0 to 4"),
        ({"priority": "high"}, "priority 'high' of a message of tests.rich: 0 to 4"),
        ({"headers": {"mqjobs-id": "1"}}, "header 'mqjobs-id' .* not mqjobs-…"),
        ({"headers": {"": "1"}}, "header '' of a message of tests.rich: use 1 to 100"),
        ({"headers": {"ü": "1"}}, "header 'ü' of a message of tests.rich: use 1 to 100"),
        ({"headers": {"a b": "1"}}, "header 'a b' of a message of tests.rich: use 1 to 100"),
        ({"headers": {7: "1"}}, "header 7 of a message of tests.rich: use 1 to 100"),
        ({"headers": {"a": 1}}, "header a of a message of tests.rich needs a text"),
        ({"headers": {"a": "x" * 256}}, "header a of a message of tests.rich needs a text"),
        ({"headers": {"a": "\x00"}}, "header a of a message of tests.rich needs a text"),
        ({"headers": {"a": "\udce9"}}, "header a of a message of tests.rich needs a text"),
        ({"headers": {f"h{n}": "" for n in range(101)}}, "has 101 headers: 100 at most"),
    ],
    ids=repr,
)
def test_an_option_that_makes_no_sense_is_refused_by_its_name(
    wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidMessage, match=says):
        MAKER.seal(Outgoing(Rich(text="a"), **wrong))


def test_a_body_that_is_too_large_is_refused_with_the_setting_that_rules_it() -> None:
    with pytest.raises(
        InvalidMessage, match=r"bytes, 1000 are allowed: .* MQJOBS_MAX_MESSAGE_BYTES"
    ):
        MAKER.seal(Rich(text="ü" * 500))


@pytest.mark.parametrize("message", [None, "text", {"text": "a"}, Rich, Outgoing("text")])  # type: ignore[arg-type]  # on purpose
def test_what_is_no_message_is_refused(message: Any) -> None:
    with pytest.raises(InvalidMessage, match="is not a message: give an instance of a Topic class"):
        MAKER.seal(message)


def test_a_body_whose_class_has_no_name_cannot_be_sent() -> None:
    with pytest.raises(ConfigurationError, match="Nameless has no name"):
        MAKER.seal(Nameless())


@pytest.mark.parametrize("body", [Faulty(), Rich(text="caf\udce9")])
def test_a_body_that_cannot_be_written_says_so(body: Topic) -> None:
    with pytest.raises(InvalidMessage, match="cannot be written as JSON"):
        MAKER.seal(body)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "field text: Field required"),
        ({"text": "a", "color": "red"}, "field color: Extra inputs are not permitted"),
        ({"text": "a", "tags": [1]}, r"field tags\.0: Input should be a valid string"),
        ({"text": "a", "day": "2026-13-01"}, "field day: "),
        ("{not json", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ({"text": ...}, "not JSON serializable"),
        ({n: n for n in "abcdefgh"}, "; and 4 more"),
    ],
    ids=repr,
)
def test_a_body_that_breaks_its_topics_rules_is_refused_with_the_field(
    fields: Any, says: str
) -> None:
    with pytest.raises(InvalidMessage, match=says) as refused:
        body_of(Rich, fields)

    assert str(refused.value).startswith("the body is not a message of tests.rich: ")


def test_a_validator_that_fails_in_its_own_way_makes_the_message_invalid_too() -> None:
    with pytest.raises(InvalidMessage, match="RuntimeError: cannot read"):
        body_of(Faulty, {"text": "b"})


@given(st.binary(max_size=100))
def test_whatever_comes_in_is_a_message_or_invalid(body: bytes) -> None:
    try:
        message = body_of(Rich, body)
    except InvalidMessage:
        return
    assert isinstance(message, Rich)


def test_a_secret_travels_as_it_is_and_the_message_says_not_to_show_it() -> None:
    envelope = MAKER.seal(Login(token=SecretStr("t-marked")))
    message = open_envelope(envelope, Login)
    assert isinstance(message.body, Login)
    assert message.body.token.get_secret_value() == "t-marked"
    assert without_secrets(envelope).body == b'{"token": "**********"}'
    assert "marked" not in repr(message)


def test_an_error_does_not_quote_a_secret() -> None:
    with pytest.raises(InvalidMessage) as refused:
        body_of(Login, '{"token": "marked"}')
    assert str(refused.value).endswith("field token: the secret breaks a rule")
    with pytest.raises(InvalidMessage) as refused:
        body_of(Login, '{"token": {"a": "marked"}}')
    assert "marked" not in str(refused.value)


def test_asterisks_are_not_sent_in_place_of_a_secret() -> None:
    with pytest.raises(InvalidMessage, match=r"write the field as mqjobs\.Secret"):
        MAKER.seal(Masked(token=SecretStr("marked")))
