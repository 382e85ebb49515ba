"""Dependent messages: what goes out when a root job has ended."""

from dataclasses import dataclass, field

from mqjobs.model.errors import JobError, NotARootJob, NotInUniqueJob
from mqjobs.model.job import Job
from mqjobs.model.message import Outgoing
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.model.topic import Topic
from mqjobs.processing.services import Services
from mqjobs.store.children import Dependent, OwnRun


@dataclass(frozen=True, slots=True)
class DependentContext:
    """Messages that are to wait for the end of a root job, until they are saved."""

    root_id: int
    added: list[tuple[Outgoing, JobStatus | None]] = field(default_factory=list)

    def add(
        self, message: Topic, *, priority: Priority | None = None, on: JobStatus | None = None
    ) -> None:
        """One more; `on` SUCCESS or FAILED: for that end alone, None: for both."""
        if on not in {None, JobStatus.SUCCESS, JobStatus.FAILED}:
            raise JobError(f"a dependent message waits for success or failed, not for {on}")
        self.added.append((Outgoing(message, priority=priority), on))


class DependentJobs:
    """Saves dependent messages for the root jobs that this attempt runs."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._own_runs: dict[int, OwnRun] = {}

    def admit(self, run: OwnRun) -> None:
        """This attempt runs the root, so dependent messages may be added to it."""
        self._own_runs[run.root_id] = run

    def create_context(self, root: Job) -> DependentContext:
        """An empty list of messages for this root. Raises NotARootJob for a child."""
        if not root.is_root:
            raise NotARootJob(
                f"job {root.id} is a child: dependent messages wait for root jobs, see runner.root"
            )
        return DependentContext(root.id)

    async def save(self, context: DependentContext) -> None:
        """The messages wait for the root's end, besides those that were saved before; the context is empty again.

        Raises InvalidMessage, NotInUniqueJob where this attempt does not run the root, LeaseLost; then none is saved.
        """
        run = self._own_runs.get(context.root_id)
        if run is None:
            raise NotInUniqueJob(
                f"root job {context.root_id} is not run here: save dependent messages in its own callback"
            )
        seal = self._services.envelopes.seal
        dependents = [Dependent(seal(outgoing), on) for outgoing, on in context.added]
        if dependents:
            await self._services.store.add_dependents(run, dependents)
        context.added.clear()
