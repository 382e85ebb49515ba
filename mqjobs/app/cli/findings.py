"""What a look at an installation found."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from mqjobs.app.cli.failures import exit_for
from mqjobs.app.exits import Exit
from mqjobs.model.errors import MqjobsError


class Mark(StrEnum):
    """GOOD: looked at, and right. BAD: looked at, and wrong. OPEN: not looked at, or to be judged by people."""

    GOOD = "✓"
    BAD = "✗"
    OPEN = "–"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `exit` is what it makes the command say to the shell."""

    subject: str
    mark: Mark
    text: str
    exit: Exit = Exit.OK


class Findings:
    """The report as it grows; `tell` is called with each line."""

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self._tell = tell
        self.all: list[Finding] = []

    def good(self, subject: str, text: str) -> None:
        """This is right."""
        self._add(Finding(subject, Mark.GOOD, text))

    def bad(self, subject: str, error: MqjobsError) -> None:
        """This is wrong."""
        self._add(Finding(subject, Mark.BAD, _on_one_line(str(error)), exit_for(error)))

    def open(self, subject: str, text: str) -> None:
        """This was not looked at, or is for people to judge."""
        self._add(Finding(subject, Mark.OPEN, _on_one_line(text)))

    @property
    def worst(self) -> Exit:
        """The exit code of the worst of them."""
        return max((finding.exit for finding in self.all), default=Exit.OK)

    def _add(self, finding: Finding) -> None:
        self.all.append(finding)
        self._tell(finding)


def _on_one_line(text: str) -> str:
    """What is wrong and what to do; of a traceback the end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{lines[0]}: {lines[-1]}" if len(lines) > 2 else "; ".join(lines)
