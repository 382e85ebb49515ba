"""What servers send, told apart: whole messages of PostgreSQL and of AMQP, and the answers that can get lost."""

from collections.abc import Sequence

_PG_LENGTH = 4
_AMQP_HEADER = 7
_AMQP_END = 1
_METHOD = b"\x01"
_BASIC_ACK = (60).to_bytes(2) + (80).to_bytes(2)


def split_postgres(data: bytes) -> tuple[Sequence[bytes], bytes]:
    """The whole messages in this, and what is left; on a connection that does not begin with a request for TLS."""
    messages, at = [], 0
    while len(data) >= at + 1 + _PG_LENGTH:
        end = at + 1 + int.from_bytes(data[at + 1 : at + 1 + _PG_LENGTH])
        if len(data) < end:
            break
        messages.append(data[at:end])
        at = end
    return messages, data[at:]


def split_amqp(data: bytes) -> tuple[Sequence[bytes], bytes]:
    """The whole frames in this, and what is left."""
    frames, at = [], 0
    while len(data) >= at + _AMQP_HEADER:
        end = at + _AMQP_HEADER + int.from_bytes(data[at + 3 : at + _AMQP_HEADER]) + _AMQP_END
        if len(data) < end:
            break
        frames.append(data[at:end])
        at = end
    return frames, data[at:]


def is_commit(message: bytes) -> bool:
    """PostgreSQL says that a transaction is committed."""
    return message.startswith(b"C") and message[1 + _PG_LENGTH :] == b"COMMIT\0"


def is_confirm(frame: bytes) -> bool:
    """RabbitMQ says that it has a message."""
    return frame.startswith(_METHOD) and frame[_AMQP_HEADER:].startswith(_BASIC_ACK)
