"""The last guards: what the tables refuse, whoever writes."""

import asyncpg
import pytest

from tests.support.consuming import Stage
from tests.support.processors import LATER, never, unique
from tests.support.topics import Work

ROOT = "UPDATE mqjobs.job SET {} WHERE root_id IS NULL"
CHILD = "UPDATE mqjobs.job SET {} WHERE root_id IS NOT NULL"
MESSAGE = "UPDATE mqjobs.message SET {}"


@pytest.mark.parametrize(
    ("constraint", "statement"),
    [
        ("job_root_has_an_owner", ROOT.format("owner_id = NULL")),
        ("job_root_has_an_owner", CHILD.format("owner_id = 'somebody'")),
        ("job_ended_has_a_time", ROOT.format("stopped_at = now()")),
        ("job_ended_has_a_time", CHILD.format("status = 'cancelled'")),
        ("job_running_child_has_a_lease", CHILD.format("status = 'running'")),
        ("job_running_child_has_a_lease", CHILD.format("status = 'running', lease = 1")),
        ("job_counts_add_up", ROOT.format("children_failed = 2")),
        (
            "job_ended_root_has_no_open_children",
            ROOT.format("status = 'cancelled', stopped_at = now()"),
        ),
        ("message_dead_has_a_reason", MESSAGE.format("dead_at = now()")),
        ("message_dead_has_a_reason", MESSAGE.format("dead_reason = 'old'")),
        ("job_name_check", CHILD.format("name = ''")),
        ("job_lease_check", CHILD.format("lease = -1")),
        ("job_progress_check", CHILD.format("progress = 1.2")),
    ],
)
async def test_a_row_that_contradicts_itself_is_refused(
    stage: Stage, constraint: str, statement: str
) -> None:
    async with stage.running(unique(never)) as mq:
        await mq.send(Work(), delay=LATER)
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await mq.execute(statement)

    assert caught.value.constraint_name == constraint


@pytest.mark.parametrize(
    ("index", "columns"),
    [
        ("job_one_active_root_per_name", "NULL, 'another', 'work', true"),
        ("job_one_root_per_owner_and_name", "NULL, owner_id, 'work', false"),
        ("job_one_child_per_name", "id, NULL, 'work', false"),
    ],
)
async def test_a_name_that_is_taken_is_refused(stage: Stage, index: str, columns: str) -> None:
    async with stage.running(unique(never)) as mq:
        await mq.send(Work(), delay=LATER)
        with pytest.raises(asyncpg.UniqueViolationError) as caught:
            await mq.execute(
                "INSERT INTO mqjobs.job (root_id, owner_id, name, is_unique)"
                f" SELECT {columns} FROM mqjobs.job WHERE root_id IS NULL"
            )

    assert caught.value.constraint_name == index
