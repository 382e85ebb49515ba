"""How long a root job's silence lets a newer one take its name."""

from collections.abc import Mapping
from datetime import timedelta

DEFAULT_SECONDS = 1800.0


class StaleTimes:
    """`time_before_stale` by job name: seconds, or -1 for never.

    A name's own entry counts before that of a prefix of it that ends at a `.` or `:`, a longer prefix before a shorter
    one, and before `default`.
    """

    def __init__(
        self, by_name: Mapping[str, float] | None = None, default: float | None = DEFAULT_SECONDS
    ) -> None:
        self._by_name = dict(by_name or {})
        self._default = default

    def of(self, name: str) -> timedelta | None:
        """The time for this job; None: never."""
        seconds = next(
            (self._by_name[each] for each in _name_and_prefixes(name) if each in self._by_name),
            self._default,
        )
        return None if seconds is None or seconds < 0 else timedelta(seconds=seconds)


def _name_and_prefixes(name: str) -> list[str]:
    ends = [place for place, character in enumerate(name) if character in ".:"]
    return [name, *(name[:end] for end in reversed(ends))]
