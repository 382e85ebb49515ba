"""Answers are found in what a server sends, whatever pieces it comes in."""

from collections.abc import Callable, Sequence

import pytest

from tests.faults.answers import is_commit, is_confirm, split_amqp, split_postgres
from tests.support.wire import Split

COMMIT = b"C\0\0\0\x0bCOMMIT\0"
BEGIN = b"C\0\0\0\x0aBEGIN\0"
READY = b"Z\0\0\0\x05I"
CONFIRM = b"\x01\0\x01\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\0\x01\0\xce"
DELIVERY = b"\x01\0\x01\0\0\0\x04\0\x3c\0\x3c\xce"
BODY = b"\x03\0\x01\0\0\0\x04\0\x3c\0\x50\xce"


@pytest.mark.parametrize(
    ("split", "messages", "is_answer", "answers"),
    [
        (split_postgres, [BEGIN, COMMIT, READY], is_commit, [COMMIT]),
        (split_amqp, [DELIVERY, CONFIRM, BODY], is_confirm, [CONFIRM]),
    ],
    ids=["postgres", "amqp"],
)
def test_an_answer_is_found_in_whatever_pieces_it_comes(
    split: Split,
    messages: Sequence[bytes],
    is_answer: Callable[[bytes], bool],
    answers: Sequence[bytes],
) -> None:
    sent = b"".join(messages)

    for size in range(1, len(sent) + 1):
        found, rest = list[bytes](), b""
        for at in range(0, len(sent), size):
            whole, rest = split(rest + sent[at : at + size])
            found += whole
        assert (found, rest) == (list(messages), b"")
        assert [each for each in found if is_answer(each)] == list(answers)
