"""Stragglers: code that goes on after it was stopped, and runs that this consumer has but does not run."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog

from mqjobs.model.outcome import StopReason
from mqjobs.model.tally import Count
from mqjobs.processing.services import Services
from mqjobs.runtime.every import every
from mqjobs.runtime.execution import Execution
from mqjobs.store import unheld
from mqjobs.store.job_store import transaction
from mqjobs.store.outages import patiently

log = structlog.get_logger(__name__)


class Stragglers:
    """Looks after what neither ends nor runs as it should.

    Code that catches its cancellation and goes on has lost its job a grace later: the job ends as it would have, under
    the next lease number, and the code is cancelled once more. Its slot stays taken until it really ends.

    A job that runs in this consumer's name and in none of its tasks (the answer to a claim was lost, an outcome could
    not be written) is given back at the second look that finds it so.
    """

    def __init__(self, services: Services, execution: Execution, grace: timedelta) -> None:
        self._services = services
        self._execution = execution
        self._grace = grace
        self._suspects: Mapping[int, int] = {}

    async def watch(self, stop: asyncio.Event, interval: timedelta) -> None:
        """Look after each interval, until stopped."""
        async for _ in every(interval, stop):
            await self.take_from_those_that_ignore_stops()
            await patiently("the watch", self.give_back_what_is_not_held)

    async def take_from_those_that_ignore_stops(self) -> None:
        """Jobs whose code goes on although it was stopped end without it; plain code is warned of."""
        for held in self._services.runs.that_ignore_stops(self._grace):
            reason = held.stop_reason
            if reason is None or held.take_away is None or reason is StopReason.SHUTDOWN:
                continue
            held.was_taken_away = True
            log.warning(
                "code_ignores_stop",
                job_id=held.job_id,
                lease=held.lease,
                topic=held.attempt.envelope.topic,
                message_id=str(held.attempt.envelope.id),
                reason=reason,
                after_s=self._grace.total_seconds(),
            )
            await held.take_away(reason)
            held.insist()
        self._execution.insist_on_stops(self._grace)

    async def give_back_what_is_not_held(self) -> None:
        """Of the jobs that run in this consumer's name those that no task of it runs, found so twice."""
        runs = self._services.runs
        async with self._services.store.pool.acquire() as connection:
            found = await unheld.not_held(connection, runs.consumer_id, runs.jobs())
        mine = runs.jobs()
        suspects = {job_id: lease for job_id, lease in found.items() if job_id not in mine}
        again = {
            job_id: lease
            for job_id, lease in suspects.items()
            if self._suspects.get(job_id) == lease
        }
        self._suspects = suspects
        if again:
            await self._give_back(again)

    async def _give_back(self, leases: Mapping[int, int]) -> None:
        store = self._services.store
        async with transaction(store.pool) as connection:
            given_back = await unheld.give_back(connection, self._services.runs.consumer_id, leases)
        for job_id in given_back:
            log.warning("run_not_held", job_id=job_id, lease=leases[job_id])
        store.tally.add(Count.REPAIRS, len(given_back), kind="run_not_held")
        store.wake()
