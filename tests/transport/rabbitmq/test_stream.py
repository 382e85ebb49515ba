"""What the driver could not decode reaches it as something that it can."""

import struct

import pamqp.frame
import pytest
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from mqjobs.transport.rabbitmq.stream import readable

TYPE = 0x20
TIMESTAMP = 0x40


def a_frame(kind: int, content: bytes) -> bytes:
    return struct.pack(">BHI", kind, 3, len(content)) + content + b"\xce"


def a_header(flags: int, properties: bytes, body_size: int = 7) -> bytes:
    return a_frame(2, struct.pack(">HHQH", 60, 0, body_size, flags) + properties)


def test_what_can_be_decoded_stays_as_it_is() -> None:
    for frame in (
        a_header(TYPE, b"\x04text"),
        pamqp.frame.marshal(Basic.Deliver("c", 1, False, "e", "key"), 3),
        b"\x08\x00\x00\x00\x00\x00\x00\xce",
    ):
        assert readable(frame) == frame


@pytest.mark.parametrize(
    "header",
    [
        a_header(TYPE, b"\x02\xff\xfe"),
        a_header(TIMESTAMP, b"\xff" * 8),
        a_header(0x2000, struct.pack(">I", 4) + b"\x01kZZ"),
    ],
    ids=["not text", "not a time", "no known type"],
)
def test_properties_that_cannot_be_decoded_are_left_out(header: bytes) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  whichever: the driver hands on what it meets
        pamqp.frame.unmarshal(header)

    _, channel, found = pamqp.frame.unmarshal(readable(header))

    assert isinstance(found, ContentHeader)
    assert (channel, found.body_size) == (3, 7)
    assert found.properties.message_type is None


def test_names_that_are_not_text_are_marked() -> None:
    frame = pamqp.frame.marshal(Basic.Deliver("tag", 77, True, "exchange", "kXy"), 3)

    mended = readable(frame.replace(b"kXy", b"k\xffy"))

    _, _, found = pamqp.frame.unmarshal(mended)
    assert isinstance(found, Basic.Deliver)
    assert (found.consumer_tag, found.delivery_tag, found.redelivered) == ("tag", 77, True)
    assert (found.exchange, found.routing_key) == ("exchange", "k?y")


def test_what_is_no_message_is_left_to_the_driver() -> None:
    frame = a_frame(1, b"\x00\x63\x00\x63")

    assert readable(frame) == frame
