"""When a message whose attempt raised comes again."""

from dataclasses import dataclass
from datetime import timedelta

LONGEST = timedelta(days=3650).total_seconds()
STEEPEST = 100.0


@dataclass(frozen=True, slots=True)
class Retry:
    """A topic's retry policy: how often its work is tried, and how long after a failure the next try waits.

    `attempts` counts the first try too: 1 means that a raised exception fails at once, which is the default.
    The n-th retry waits `delay * factor ** (n - 1)` seconds, but `max_delay` at most.
    """

    attempts: int = 1
    delay: float = 10.0
    factor: float = 2.0
    max_delay: float = 3600.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(
                f"Retry(attempts={self.attempts}): give 1 or more, the first try counts"
            )
        if not (0 <= self.delay <= LONGEST and 0 <= self.max_delay <= LONGEST):
            raise ValueError(f"{self}: delay and max_delay are 0 s to 10 years")
        if not 1 <= self.factor <= STEEPEST:
            raise ValueError(f"{self}: factor is 1 to {STEEPEST:g}")

    def delay_after(self, attempt: int) -> timedelta:
        """The wait between the failure of this attempt (the first is 1) and the next one."""
        exponent = min(attempt - 1, 64)
        return timedelta(seconds=min(self.delay * self.factor**exponent, self.max_delay))
