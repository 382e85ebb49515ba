"""The moves between statuses: PostgreSQL allows those of the model, and refuses every other."""

from itertools import product

import asyncpg
import pytest

from mqjobs.model.status import CHILD_MOVES, CHILD_RETRIES, ROOT_MOVES, TERMINAL, JobStatus, Moves
from mqjobs.store.database import Connection, open_pool

NEW_AGAIN: Moves = {was: frozenset({JobStatus.NEW}) for was in CHILD_RETRIES}
OPEN_AGAIN: Moves = {was: frozenset({JobStatus.RUNNING}) for was in TERMINAL - {JobStatus.STALE}}

INSERT_JOB = """
    INSERT INTO mqjobs.job (root_id, owner_id, name, status, lease, consumer_id, stopped_at)
    VALUES (CASE WHEN NOT $1 THEN 1 END, CASE WHEN $1 THEN $2 END, $2, $3, 1, gen_random_uuid(),
            CASE WHEN $4 THEN now() END)
    RETURNING id
"""
MOVE_JOB = """
    UPDATE mqjobs.job
       SET status = $2, stopped_at = CASE WHEN $3 THEN now() END, retries = retries + $4::integer
     WHERE id = $1
"""


@pytest.mark.parametrize(
    ("is_root", "is_retry", "moves"),
    [
        pytest.param(False, False, CHILD_MOVES, id="child"),
        pytest.param(True, False, ROOT_MOVES, id="root"),
        pytest.param(False, True, NEW_AGAIN, id="child-retried"),
        pytest.param(True, True, OPEN_AGAIN, id="root-retried"),
    ],
)
async def test_the_moves_that_the_database_allows_are_those_of_the_model(
    database_url: str, is_root: bool, is_retry: bool, moves: Moves
) -> None:
    allowed = set()
    async with open_pool(database_url) as pool, pool.acquire() as connection:
        for was, becomes in product(JobStatus, repeat=2):
            if was is not becomes and await can_move(connection, was, becomes, is_root, is_retry):
                allowed.add((was, becomes))

    assert allowed == {(was, becomes) for was, ends in moves.items() for becomes in ends}


async def test_the_statuses_in_the_database_are_those_of_the_model(database_url: str) -> None:
    async with open_pool(database_url) as pool:
        labels = await pool.fetchval("SELECT enum_range(NULL::mqjobs.job_status)::text[]")

    assert labels == list(JobStatus)


async def can_move(
    connection: Connection, was: JobStatus, becomes: JobStatus, is_root: bool, is_retry: bool
) -> bool:
    """Whether a job that stands there may be written to stand here, whatever code it is that writes."""
    name = f"{was} to {becomes}"
    job_id = await connection.fetchval(INSERT_JOB, is_root, name, was, was in TERMINAL)
    try:
        await connection.execute(MOVE_JOB, job_id, becomes, becomes in TERMINAL, int(is_retry))
    except asyncpg.CheckViolationError as refusal:
        if refusal.constraint_name != "job_moves":
            raise
        return False
    return True
