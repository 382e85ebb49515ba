"""A wall clock that is stepped: a process whose time of day jumps by an hour, forth and back, every other second.

The clock that only goes forward stays as it is. Where the folder is first on a process's PYTHONPATH, its time jumps.
"""

from pathlib import Path

STEP = 3600
JUMPS_EVERY = 2.0

PROGRAM = f"""
import datetime
import os
import time

_time, _monotonic, _datetime = time.time, time.monotonic, datetime.datetime


def _offset():
    return (0, {STEP}, -{STEP})[(int(_monotonic() / {JUMPS_EVERY}) + os.getpid()) % 3]


class _Kind(type):
    def __instancecheck__(cls, value):
        return isinstance(value, _datetime)


class datetime_(_datetime, metaclass=_Kind):
    __slots__ = ()  # as large as the original, which extensions look at

    @classmethod
    def now(cls, tz=None):
        return _datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return _datetime.utcfromtimestamp(time.time())

    @classmethod
    def today(cls):
        return cls.now()


time.time = lambda: _time() + _offset()
time.time_ns = lambda: int(time.time() * 1e9)
datetime.datetime = datetime_
"""


def stepped_clock(folder: Path) -> str:
    """The PYTHONPATH that a process with such a clock is started with."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(PROGRAM, "utf-8")
    return str(folder)
