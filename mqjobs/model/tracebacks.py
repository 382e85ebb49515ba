"""Tracebacks as they are kept: which of their lines say what went wrong."""

import re
from collections.abc import Sequence

LONGEST = 1000

_GROUP = "  + Exception Group Traceback"
_FRAME = '  File "'
_BETWEEN = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
_ERROR_IN_GROUP = re.compile(r" +\| (?!Traceback |File )(\S.*)")
_COUNT = re.compile(r"\(\d+ sub-exceptions?\)$")


def what_went_wrong(text: str) -> str:
    """Type and message of the error that a traceback ends with, on one line; of another text all of it.

    Of a group of errors it is the group, and the first error in it.
    """
    lines = text.splitlines()
    group, frame = _last(lines, _GROUP), _last(lines, _FRAME)
    said = _of_group(lines[group:]) if group > frame else _of_one(lines[frame + 1 :])
    line = " ".join(" ".join(said).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _last(lines: Sequence[str], beginning: str | tuple[str, ...]) -> int:
    """The number of the last line that begins so; -1 where none does."""
    return max((at for at, line in enumerate(lines) if line.startswith(beginning)), default=-1)


def _of_one(lines: Sequence[str]) -> Sequence[str]:
    """What follows on the code of the last frame, which is indented; of errors without a frame, the last."""
    lines = lines[_last(lines, _BETWEEN) + 1 :]
    begins = next((at for at, line in enumerate(lines) if line[:1].strip()), 0)
    return lines[begins:]


def _of_group(lines: Sequence[str]) -> Sequence[str]:
    errors = [found[1] for line in lines if (found := _ERROR_IN_GROUP.match(line))]
    first = next((error for error in errors[1:] if not _COUNT.search(error)), None)
    return [*errors[:1], *([f"– {first}"] if first else [])]
