"""What a processor says when it has looked at a message."""

from enum import StrEnum


class Result(StrEnum):
    """The end of one attempt at a message.

    ACK: done. REJECT: it cannot be done; the message is kept as a dead letter. REQUEUE: not now; the message
    comes again after a delay.
    """

    ACK = "ack"
    REJECT = "reject"
    REQUEUE = "requeue"

    @classmethod
    def of(cls, outcome: bool | None) -> "Result":
        """The result for what a job came to: ACK for True, REJECT for False and for None (did not run)."""
        return cls.ACK if outcome is True else cls.REJECT
