"""Topics for tests: one of each kind."""

from mqjobs.model.retry import Retry
from mqjobs.model.topic import Topic


class Work(Topic, name="tests.work"):
    """Job-aware: a unique root job of this name is born with it."""

    job: str = "work"

    def job_name(self) -> str:
        return self.job


class SteadyWork(Topic, name="tests.steady_work", retry=Retry(attempts=3, delay=0.05, factor=1)):
    """Job-aware, and tried three times."""

    job: str = "work"

    def job_name(self) -> str:
        return self.job


class Piece(Topic, name="tests.piece"):
    """What a delayed child is started with."""

    number: int = 0


class SteadyPiece(Topic, name="tests.steady_piece", retry=Retry(attempts=3, delay=0.05, factor=1)):
    """What a delayed child is started with that is tried three times."""

    number: int = 0


class HastyPiece(Topic, name="tests.hasty_piece", timeout=0.3):
    """What a delayed child is started with that has to be quick."""

    number: int = 0


class Note(Topic, name="tests.note"):
    """Knows nothing of jobs."""

    text: str = ""


class SteadyNote(Topic, name="tests.steady_note", retry=Retry(attempts=2, delay=0.05, factor=1)):
    """Knows nothing of jobs, and is tried twice."""

    text: str = ""


class Unbound(Topic, name="tests.unbound"):
    """No queue takes it."""

    text: str = ""


class Question(Topic, name="tests.question"):
    """Has a test's own code run inside an attempt."""

    number: int
