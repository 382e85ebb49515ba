"""The job runner: every way for a processor to run and split jobs."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from mqjobs.model.errors import (
    DeclaredDead,
    InvalidJobName,
    JobIsRunning,
    JobIsStale,
    NotInUniqueJob,
    UnknownJob,
)
from mqjobs.model.job import Job, checked_name, is_storable
from mqjobs.model.message import Message
from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count
from mqjobs.model.topic import Topic
from mqjobs.processing.attempt import Attempt, Verdict
from mqjobs.processing.delayed_children import DelayedChildren, Start
from mqjobs.processing.dependent_jobs import DependentJobs
from mqjobs.processing.job_run import JobRun
from mqjobs.processing.running_job import RunningJob
from mqjobs.processing.services import Services
from mqjobs.store.children import OwnRun
from mqjobs.store.claims import Claim, Granted, NotAlive
from mqjobs.store.roots import NameTaken, NewRoot, RootFound

Callback = Callable[["JobRunner", RunningJob], Awaitable[bool]]


class JobRunner:
    """Runs jobs for one attempt; the one that a unique job's callback is handed can split that job, too.

    Where a live consumer runs the job already, a call raises JobIsRunning and the message is parked, whatever the
    processor makes of it; where the job is stale, JobIsStale, and the message is rejected.
    """

    def __init__(
        self,
        services: Services,
        attempt: Attempt,
        dependent_jobs: DependentJobs,
        unique_job: RunningJob | None = None,
    ) -> None:
        self._services = services
        self._attempt = attempt
        self._dependent_jobs = dependent_jobs
        self._unique_job = unique_job

    async def run_unique(self, owner_id: str | UUID, name: str, callback: Callback) -> bool | None:
        """Run the root job of this owner (a message id) and name, created if need be; what the callback returned.

        None, and the callback does not run: an active root of another owner has the name and is not stale, or this
        one was cancelled. A job that has ended does not run again: its recorded outcome is returned.
        """
        new = self._new_root(owner_id, name)
        root = await self._services.store.create_root(new)
        if isinstance(root, NameTaken):
            self._attempt.explain(f"job name {name!r} is taken by active root job {root.by}")
            return None
        return await self._run_root(root, new.owner_id, callback)

    async def run_unique_by_message(self, message: Message[Any], callback: Callback) -> bool | None:
        """Run the root job that was created when this message of a job-aware topic was sent; see `run_unique`.

        None, and the callback does not run: the message has no root job, or a cancelled one.
        """
        name = message.body.job_name()
        if name is None:
            raise NotInUniqueJob(
                f"topic {message.topic} is not job-aware: give it a job_name, or call run_unique"
            )
        root = await self._services.store.find_root(str(message.id), name)
        if root is None:
            self._attempt.explain(f"message {message.id} has no root job {name!r}")
            return None
        return await self._run_root(root, str(message.id), callback)

    async def create_unique(self, owner_id: str | UUID, name: str) -> Job | None:
        """The root job of this owner and name, created without running it; None where the name is taken."""
        new = replace(self._new_root(owner_id, name), awaits_message=False)
        root = await self._services.store.create_root(new)
        if isinstance(root, NameTaken):
            return None
        return Job(root.id, None, str(owner_id), name, root.status, unique=True, children=1)

    async def cancel_unique_if_new(self, owner_id: str | UUID, name: str) -> bool:
        """Cancel the root of this owner and name if nobody has started it; whether that was so."""
        return bool(await self._services.store.cancel_if_new(str(owner_id), checked_name(name)))

    async def run_delayed(self, job_id: int, callback: Callback) -> bool | None:
        """Run a delayed child; what the callback returned, or for an ended child what it returned then.

        None, and the callback does not run: the child was cancelled. Raises UnknownJob; the message is then rejected.
        """
        return await self._claim(job_id, callback, None)

    async def run_delayed_by_message(
        self, message: Message[Any], callback: Callback
    ) -> bool | None:
        """Run the delayed child that was created with this message; see `run_delayed`."""
        if message.job_id is None:
            text = f"message {message.id} of {message.topic} belongs to no delayed child: send it by create_delayed"
            self._attempt.decide(Verdict.REJECT, text)
            raise UnknownJob(text)
        return await self.run_delayed(message.job_id, callback)

    @property
    def root(self) -> Job:
        """The root job whose own child runs here. Raises NotInUniqueJob."""
        job = self._in_unique_job("root")
        root_id = job.root_id or 0
        return Job(root_id, None, job.owner_id, job.name, JobStatus.RUNNING, unique=True)

    async def create_delayed(self, name: str, start: Start) -> Job:
        """The delayed child of this name in the running unique job: found, or created with its message.

        `start` is the message, or a function of the new child that returns it. Raises NotInUniqueJob, InvalidJobName,
        InvalidMessage, LeaseLost; then nothing was created.
        """
        [child] = await self._children("create_delayed").create([(name, start)])
        return child

    async def create_delayed_many(
        self, children: Iterable[tuple[str, Start]] | AsyncIterable[tuple[str, Start]]
    ) -> int:
        """Delayed children by the thousand, in bounded memory; how many were not there before.

        They become durable by the hundred: after an error some may be there, and calling again creates the rest.
        """
        return await self._children("create_delayed_many").create_many(children)

    async def add_dependent(
        self, message: Topic, *, priority: Priority | None = None, on: JobStatus | None = None
    ) -> None:
        """The message goes out when the running unique job's root ends with SUCCESS or FAILED, or only with `on`."""
        context = self._dependent_jobs.create_context(self.root)
        context.add(message, priority=priority, on=on)
        await self._dependent_jobs.save(context)

    def _new_root(self, owner_id: str | UUID, name: str) -> NewRoot:
        owner = str(owner_id)
        if not owner or len(owner) > 255 or not is_storable(owner):
            raise InvalidJobName(f"owner {owner[:40]!r} of job {name!r}: give a message id")
        stale_after = self._services.stale_times.of(checked_name(name))
        return NewRoot(owner, name, self._attempt.envelope, stale_after)

    async def _run_root(self, root: RootFound, owner_id: str, callback: Callback) -> bool | None:
        if root.status is JobStatus.CANCELLED:
            self._attempt.decide(Verdict.SETTLED)
            return None
        return await self._claim(root.own_child_id, callback, owner_id)

    async def _claim(self, job_id: int, callback: Callback, owner_id: str | None) -> bool | None:
        self._attempt.looked_at_a_job = True
        claim = Claim(job_id, uuid4(), self._services.runs.consumer_id)
        with self._services.runs.claiming(job_id):
            try:
                answer = await self._services.store.claim(claim)
            except asyncio.CancelledError as error:
                await self._let_go(claim, error)
                raise
            if isinstance(answer, Granted):
                return await self._run(answer.job, callback, owner_id)
        if isinstance(answer, NotAlive):
            text = "this consumer was declared dead, and claims nothing until it has beaten again"
            self._attempt.decide(Verdict.PARK, text)
            raise DeclaredDead(text)
        if answer.job is None:
            text = (
                f"there is no child job {job_id}: it was cleaned up, or belongs to another database"
            )
            self._attempt.decide(Verdict.REJECT, text)
            raise UnknownJob(text)
        return self._recorded(answer.job)

    async def _let_go(self, claim: Claim, error: asyncio.CancelledError) -> None:
        """The attempt was stopped while it claimed: asked again, the claim says whether the job is held for nobody."""

        async def stopped() -> object:
            raise error

        answer = await self._services.store.claim(claim)
        if isinstance(answer, Granted):
            await JobRun(answer.job, self._attempt, self._services).execute(stopped)

    async def _run(self, job: Job, callback: Callback, owner_id: str | None) -> bool | None:
        running = RunningJob.of(
            job,
            self._services.store,
            max_bytes=self._services.envelopes.max_bytes,
            owner_id=owner_id,
        )
        runner = self._for_callback(running)
        run = JobRun(running, self._attempt, self._services)
        return await run.execute(lambda: callback(runner, running))

    def _for_callback(self, job: RunningJob) -> "JobRunner":
        if not job.own_child:
            return JobRunner(self._services, self._attempt, self._dependent_jobs)
        self._dependent_jobs.admit(OwnRun(job.root_id or 0, job.id, job.lease))
        return JobRunner(self._services, self._attempt, self._dependent_jobs, job)

    def _recorded(self, job: Job) -> bool | None:
        self._services.tally.add(Count.DUPLICATES)
        match job.status:
            case JobStatus.SUCCESS:
                self._attempt.recall(f"job {job.id} {job.name!r} had come to success before")
                return True
            case JobStatus.FAILED:
                self._attempt.decide(Verdict.SETTLED)
                return False
            case JobStatus.CANCELLED:
                self._attempt.decide(Verdict.SETTLED)
                return None
            case JobStatus.STALE:
                text = f"job {job.id} {job.name!r} is stale: a newer job has its name"
                self._attempt.decide(Verdict.REJECT, text)
                raise JobIsStale(text)
            case _:
                self._attempt.decide(Verdict.PARK)
                raise JobIsRunning(f"job {job.id} {job.name!r} is run by another consumer")

    def _in_unique_job(self, call: str) -> RunningJob:
        if self._unique_job is None:
            raise NotInUniqueJob(
                f"{call} works only on the runner that a unique job's callback is handed"
            )
        return self._unique_job

    def _children(self, call: str) -> DelayedChildren:
        return DelayedChildren(self._services, self._in_unique_job(call))
