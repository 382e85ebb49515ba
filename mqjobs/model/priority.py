"""How urgent a message is."""

from enum import IntEnum


class Priority(IntEnum):
    """Among messages that wait in one queue, the higher go first."""

    VERY_LOW = 0
    LOW = 1
    NORMAL = 2
    HIGH = 3
    VERY_HIGH = 4
