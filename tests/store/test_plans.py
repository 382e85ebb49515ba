"""What runs all the time reads what it is about and nothing else, however full the tables are."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from mqjobs.model.status import JobStatus
from mqjobs.store import (
    children,
    cleanup,
    consumers,
    interrupts,
    job_reports,
    messages,
    outbox,
    queues,
    reconciling,
    resending,
    roots,
    unheld,
)
from mqjobs.store.database import Connection

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOBODY = UUID(int=1)
NOW = datetime.now(UTC)

FILL = """
INSERT INTO mqjobs.consumer (id, host, pid, version, queues, alive_until)
SELECT ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, 'h', n, '1', '{q}', now() + interval '1 h'
  FROM generate_series(1, 50) AS n;
INSERT INTO mqjobs.job
    (id, owner_id, name, status, is_unique, children, children_success, stopped_at, last_active_at)
SELECT n, 'owner ' || n, 'root ' || n, CASE WHEN n <= 200 THEN 'running' ELSE 'success' END::mqjobs.job_status, true,
       40, CASE WHEN n <= 200 THEN 0 ELSE 40 END, CASE WHEN n > 200 THEN now() - n * interval '1 min' END,
       now() - interval '1 min'
  FROM generate_series(1, 2500) AS n;
INSERT INTO mqjobs.job (id, root_id, name, status, lease, consumer_id, stopped_at, message_id, topic, body, priority)
SELECT 10000 + n, 1 + n % 2500, CASE WHEN n < 2500 THEN 'root ' || 1 + n % 2500 ELSE 'child ' || n END,
       (CASE WHEN n % 2500 >= 200 THEN 'success' WHEN n % 97 = 0 THEN 'running' ELSE 'new' END)::mqjobs.job_status,
       1, ('00000000-0000-0000-0001-' || lpad((1 + n % 50)::text, 12, '0'))::uuid,
       CASE WHEN n % 2500 >= 200 THEN now() END, gen_random_uuid(), 't', '', 2
  FROM generate_series(0, 99999) AS n;
INSERT INTO mqjobs.message (message_id, topic, queue, body, priority, available_at)
SELECT gen_random_uuid(), 't', CASE n % 1000 WHEN 0 THEN 'other' ELSE 'q' END, '', n % 5, now() - n * interval '1 ms'
  FROM generate_series(1, 100000) AS n;
INSERT INTO mqjobs.message (message_id, topic, queue, body, priority, dead_at, dead_reason)
SELECT gen_random_uuid(), 't', 'q', '', 2, now(), 'failed' FROM generate_series(1, 20000) AS n;
ANALYZE mqjobs.job;
ANALYZE mqjobs.message;
ANALYZE mqjobs.consumer;
"""


@dataclass(frozen=True)
class Hot:
    """A statement that runs all the time, what it is run with, and how many rows it may look at then."""

    sql: str
    arguments: tuple[Any, ...]
    rows: int


LETTER = (
    [NOBODY], ["t"], ["q"], [b""], ["{}"], [2], [1], [7], [NOW], [None], ["failed"], ["why"],
)  # fmt: skip
NEW_CHILDREN = [10000 + n for n in range(1, 90)]
RUNNING_CHILDREN = [10000, 10097, 10194, 12522]
A_CONSUMER = UUID("00000000-0000-0000-0001-000000000001")
CLAIMS = NEW_CHILDREN, [NOBODY] * len(NEW_CHILDREN), [A_CONSUMER] * len(NEW_CHILDREN), 3
ENDS = (
    RUNNING_CHILDREN, [1] * 4, [JobStatus.SUCCESS] * 4, [None] * 4, [True] * 4, [False] * 4,
)  # fmt: skip
HOT = {
    "lock_roots_of": Hot(roots.SQL["lock_roots_of"], (NEW_CHILDREN,), 200),
    "claim_children": Hot(children.SQL["claim_children"], CLAIMS, 200),
    "read_jobs": Hot(children.SQL["read_jobs"], (NEW_CHILDREN,), 100),
    "finish_children": Hot(children.SQL["finish_children"], ENDS, 10),
    "move_roots": Hot(roots.SQL["move_roots"], ([1, 2], [0, 0], [1, 0], [0, 1], [0, 0]), 10),
    "look_after": Hot(consumers.SQL["look_after"], (RUNNING_CHILDREN, [1] * 4), 10),
    "not_held": Hot(unheld.SQL["not_held"], (A_CONSUMER, RUNNING_CHILDREN), 1000),
    "take_messages": Hot(
        queues.SQL["take_messages"],
        (["other", "q"] * 5, [4, 4, 3, 3, 2, 2, 1, 1, 0, 0], NOBODY, 10),
        40,
    ),
    "take_messages of a queue with little in it": Hot(
        queues.SQL["take_messages"], (["other"] * 5, [4, 3, 2, 1, 0], NOBODY, 500), 1000
    ),
    "due": Hot(outbox.SQL["due"], (500,), 1500),
    "due_without_queue": Hot(outbox.SQL["due_without_queue"], (500,), 10),
    "oldest_due": Hot(outbox.SQL["oldest_due"], (), 5),
    "dead_consumers": Hot(consumers.SQL["dead_consumers"], (500,), 200),
    "release_messages": Hot(consumers.SQL["release_messages"], (500,), 200),
    "orphans": Hot(consumers.SQL["orphans"], ([NOBODY], 500), 1000),
    "look_at_page": Hot(reconciling.SQL["look_at_page"], (timedelta(0), 0, 10), 2000),
    "lock_quiet_roots": Hot(resending.SQL["lock_quiet_roots"], ([1, 2, 3], timedelta(0)), 20),
    "lost_children": Hot(
        resending.SQL["lost_children"], (timedelta(0), ["t"], ["q"], 0, 0, 100), 1500
    ),
    "mark_resent": Hot(
        resending.SQL["mark_resent"], ([10000, 10001], [1, 2], timedelta(0), ["t"], ["q"]), 30
    ),
    "unstarted_roots_of": Hot(
        roots.SQL["unstarted_roots_of"], ("owner 5", None, [JobStatus.NEW]), 10
    ),
    "lock_roots_in_the_way": Hot(
        roots.SQL["lock_roots_in_the_way"], (["root 5", "root 9"], [HOUR, HOUR]), 20
    ),
    "root_to_reopen": Hot(interrupts.SQL["root_to_reopen"], (5,), 10),
    "drop_letters_of": Hot(interrupts.SQL["drop_letters_of"], ([10000],), 10),
    "drop_older_letters": Hot(messages.SQL["drop_older_letters"], ([NOBODY], ["q"], [7]), 20),
    "insert_dead_letters": Hot(messages.SQL["insert_dead_letters"], LETTER, 20),
    "lock_ended": Hot(cleanup.SQL["lock_ended"], ([JobStatus.SUCCESS], [DAY], 100), 500),
}


async def test_no_hot_statement_looks_at_rows_that_it_is_not_about(connection: Connection) -> None:
    await connection.execute(FILL)

    too_many = {}
    for name, hot in HOT.items():
        undone = connection.transaction()
        await undone.start()
        plan = await explained(connection, hot)
        await undone.rollback()
        if max(looked_at(plan), default=0) > hot.rows:
            too_many[name] = json.dumps(plan, indent=1)

    assert not too_many, "\n".join(f"{name}: {plan}" for name, plan in too_many.items())


async def test_the_first_children_of_a_large_root_are_found_without_a_walk_past_those_of_others(
    connection: Connection,
) -> None:
    await connection.execute(
        "INSERT INTO mqjobs.job (id, root_id, name, message_id, topic, body, priority)"
        " SELECT n, CASE WHEN n <= 50000 THEN 1 ELSE 2 END, 'child ' || n, gen_random_uuid(), 't', '', 2"
        " FROM generate_series(10, 100000) AS n"
    )
    await connection.execute("ANALYZE mqjobs.job")
    first_page = 2, list(JobStatus), 0, 20

    plan = await explained(connection, Hot(job_reports.SQL["children"], first_page, 0))

    assert max(looked_at(plan)) <= 40, json.dumps(plan, indent=1)


async def test_who_takes_from_an_empty_slot_does_not_walk_all_that_is_due_in_the_others(
    connection: Connection,
) -> None:
    await connection.execute(
        "INSERT INTO mqjobs.message (message_id, topic, queue, body, priority)"
        " SELECT gen_random_uuid(), 't', 'q', '', 2 FROM generate_series(1, 100000)"
    )
    await connection.execute("ANALYZE mqjobs.message")
    slots = ["q", "other"] * 5, [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]

    plan = await explained(connection, Hot(queues.SQL["take_messages"], (*slots, NOBODY, 10), 0))

    assert max(looked_at(plan)) <= 40, json.dumps(plan, indent=1)


def test_every_statement_that_reads_the_outbox_by_time_says_what_its_index_asks_for() -> None:
    for statement in ("due", "oldest_due"):
        assert re.search(r"\bid > 0\b", outbox.SQL[statement])
    assert not re.search(r"\bid > 0\b", queues.SQL["take_messages"])


async def explained(connection: Connection, hot: Hot) -> dict[str, Any]:
    """The plan, as it ran."""
    [row] = await connection.fetch(
        "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + hot.sql, *hot.arguments
    )
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    found: dict[str, Any] = plan[0]["Plan"]
    return found


def looked_at(node: dict[str, Any]) -> Iterator[float]:
    """How many rows each step that reads a table has looked at, those among them that it left out."""
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield rows * node["Actual Loops"]
    for below in node.get("Plans", ()):
        yield from looked_at(below)
