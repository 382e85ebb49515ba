"""Promise 7: what a child costs does not grow with the number of its siblings."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from mqjobs.model.message import Outgoing
from mqjobs.model.status import JobStatus
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from mqjobs.store.children import NewChild, OwnRun, create_children, reserve_ids
from mqjobs.store.claims import Claim, Granted, claim_children
from mqjobs.store.database import Connection
from mqjobs.store.finishes import FinishedRun, finish_children
from tests.support.consuming import Running, Stage
from tests.support.envelopes import an_envelope
from tests.support.processors import LATER, Gate, delayed, never, unique
from tests.support.topics import Piece, Work

FEW, MANY = 50, 3_000

Act = Callable[[Connection, RunningJob, int], Awaitable[object]]


async def create(connection: Connection, own: RunningJob, child_id: int) -> None:
    [new_id] = await reserve_ids(connection, 1)
    new = NewChild("one more", an_envelope("tests.piece", job_id=new_id))
    await create_children(connection, OwnRun(own.root_id or 0, own.id, own.lease), [new])


async def claim(connection: Connection, own: RunningJob, child_id: int) -> Granted:
    [answer] = await claim_children(
        connection, [Claim(child_id, uuid4(), own.consumer_id or uuid4())], crashes_allowed=3
    )
    assert isinstance(answer, Granted)
    return answer


async def claim_and_finish(connection: Connection, own: RunningJob, child_id: int) -> None:
    job = (await claim(connection, own, child_id)).job
    await finish_children(connection, [FinishedRun(job.id, job.lease, JobStatus.SUCCESS)])


@pytest.mark.parametrize("act", [create, claim, claim_and_finish])
async def test_a_child_of_a_large_root_costs_as_much_as_one_of_a_small_root(
    stage: Stage, act: Act
) -> None:
    gate = Gate()

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        start = Outgoing(Piece(), delay=LATER)
        await runner.create_delayed_many((f"piece {n}", start) for n in range(int(job.name)))
        return await gate(runner, job)

    async with stage.running(unique(split), delayed(never)) as mq:
        for size in (FEW, MANY):
            await mq.start(Work(job=str(size)))
        await gate.reached(2)
        await mq.execute("ANALYZE mqjobs.job")
        few, many = [await rows_read(mq, act, own) for own in sorted(gate.runs, key=size_of)]

    assert few < 100
    assert many < 100  # the pages that it looks at may differ; its siblings are not among them


def size_of(own: RunningJob) -> int:
    """How many delayed children its root has."""
    return int(own.name)


async def rows_read(mq: Running, act: Act, own: RunningJob) -> int:
    """How many rows of the job table are read to do this with the last child of a root."""
    child = await mq.child(own.root_id or 0, f"piece {size_of(own) - 1}")
    async with mq.transaction() as connection:
        await act(connection, own, child.id)
        read: int = await connection.fetchval(ROWS_READ)
    return read


ROWS_READ = """
SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
 WHERE schemaname = 'mqjobs' AND relname = 'job'
"""
