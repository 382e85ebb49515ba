"""Exit codes: what a process says to whoever started it."""

from enum import IntEnum


class Exit(IntEnum):
    """What a command, and each process of a consumer daemon, ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BROKER = 3
    DATABASE = 4
    STOPPED = 130
