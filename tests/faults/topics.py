"""What the load sends: trees of jobs, single jobs, and messages without a job."""

from enum import StrEnum

from mqjobs import Retry, Topic

HURRIED = "hurried"
"""Roots of such a name are stale soon."""


class Act(StrEnum):
    """What a piece of work does; told to it by who sends it."""

    SUCCEED = "succeed"
    TAKE_LONG = "take_long"
    FAIL = "fail"
    RAISE = "raise"
    STUMBLE = "stumble"
    """Raises at the first attempt."""
    COME_BACK = "come_back"
    """Asks for redelivery at the first attempt."""
    HESITATE = "hesitate"
    """Goes on for a moment when it is stopped."""
    IGNORE = "ignore"
    """Goes on to its end when it is stopped."""


class Tree(Topic, name="faults.tree", retry=Retry(attempts=2, delay=0.2)):
    """A unique job with so many delayed children, one in a few of which does something else than succeed."""

    slot: str
    children: int
    seed: int
    delay: float = 0
    act: Act = Act.SUCCEED

    def job_name(self) -> str:
        return f"tree.{self.slot}"


class Leaf(Topic, name="faults.leaf", retry=Retry(attempts=3, delay=0.2)):
    """A delayed child of a tree."""

    act: Act
    ms: float


class Single(Topic, name="faults.single", retry=Retry(attempts=3, delay=0.2)):
    """A unique job without children."""

    slot: str
    act: Act
    ms: float

    def job_name(self) -> str:
        return f"single.{self.slot}"


class Plain(Topic, name="faults.plain", retry=Retry(attempts=3, delay=0.2)):
    """A message without a job."""

    act: Act
    ms: float


class After(Topic, name="faults.after"):
    """Depends on a tree."""

    root: int
    on: str
