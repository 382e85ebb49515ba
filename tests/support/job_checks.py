"""What must hold in the database between any two calls, by itself and against the model."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import asyncpg

from mqjobs.model.message import Envelope
from mqjobs.model.status import TERMINAL, JobStatus
from tests.support.job_bench import AFTER, ENDS, Rows
from tests.support.job_model import (
    OPEN,
    WAITING,
    Announces,
    Asks,
    Follows,
    JobModel,
    MessageKey,
    Run,
    derived_progress,
    derived_status,
)

Row = asyncpg.Record


def key_of(topic: str, body: bytes, asks: Asks) -> MessageKey:
    """The message as the model knows it."""
    if topic == ENDS:
        ended = json.loads(body)
        return Announces(ended["job_id"], JobStatus(ended["status"]))
    return Follows(asks.message_id) if topic == AFTER else asks


def key_of_envelope(envelope: Envelope) -> MessageKey:
    return key_of(envelope.topic, envelope.body, Asks(envelope.id, envelope.job_id))


# By itself


def no_name_has_two_active_roots(rows: Rows) -> None:
    active = [row["name"] for row in roots(rows) if row["status"] not in TERMINAL]
    assert len(active) == len(set(active)), active


def roots_follow_their_children(rows: Rows) -> None:
    """Counters are a recount; status and progress are what the specification's table makes of the children."""
    by_root = children_by_root(rows)
    for root in roots(rows):
        children = by_root[root["id"]]
        statuses = [JobStatus(child["status"]) for child in children]
        counts = [root["children"], *(root[f"children_{one.value}"] for one in COUNTED)]
        assert counts == [len(statuses), *(statuses.count(one) for one in COUNTED)], root
        assert float(root["progress"]) == derived_progress(statuses), root
        if root["status"] != JobStatus.STALE:
            reopened = any(child["retries"] for child in children)
            status = derived_status(statuses, interrupted=root["interrupted"], reopened=reopened)
            assert root["status"] == status, root


COUNTED = (JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.STALE)


def only_a_retry_leads_out_of_an_end(before: Rows | None, rows: Rows) -> None:
    was = {row["id"]: row for row in before.jobs} if before else {}
    for row in rows.jobs:
        old = was.get(row["id"])
        if old and old["status"] in TERMINAL and row["status"] != old["status"]:
            assert row["retries"] == old["retries"] + 1, (old, row)


def no_lease_has_two_holders(rows: Rows, runs: Sequence[Run]) -> None:
    by_id = {row["id"]: row for row in rows.jobs}
    held = Counter((run.child.id, run.lease) for run in runs)
    assert max(held.values(), default=1) == 1, held
    for run in runs:
        row = by_id[run.child.id]
        holds = row["status"] == JobStatus.RUNNING and row["lease"] == run.lease
        assert holds == run.counts, (row, run)
        assert not holds or row["consumer_id"] == run.consumer_id, (row, run)


# Against the model


def children_agree(rows: Rows, model: JobModel) -> None:
    by_id = {child.id: child for child in model.children}
    found = [row for row in rows.jobs if row["root_id"] is not None]
    assert {row["id"] for row in found} == by_id.keys()
    for row in found:
        child = by_id[row["id"]]
        assert row["name"] == child.name
        assert row["root_id"] == child.root.id
        assert row["status"] == child.status, (row, child)
        for name in ("interrupted", "attempt", "crashes", "retries"):
            assert row[name] == getattr(child, name), (name, row, child)
        assert float(row["progress"]) == child.progress, (row, child)
        assert (row["error"] or "").startswith(child.error or ""), (row, child)
        assert (row["error"] is None) == (child.error is None), (row, child)


def roots_agree(rows: Rows, model: JobModel) -> None:
    by_id = {root.id: root for root in model.roots}
    assert {row["id"] for row in roots(rows)} == by_id.keys()
    for row in roots(rows):
        root = by_id[row["id"]]
        assert (row["owner_id"], row["name"]) == (root.owner_id, root.name)
        assert row["status"] == root.status, (row, root)
        assert row["interrupted"] == root.interrupted, (row, root)
        assert row["retries"] == root.retries, (row, root)


def messages_agree(rows: Rows, model: JobModel) -> None:
    """What is due and what waits is what the model says, each message as often as it says."""
    assert Counter(map(key_of_envelope, rows.due)) == Counter(model.take_due())
    waiting = [
        key_of(row["topic"], row["body"], Asks(row["message_id"], row["job_id"]))
        for row in rows.outbox
    ]
    assert Counter(waiting) == Counter(each.key for each in model.outbox)


def dependents_agree(rows: Rows, model: JobModel) -> None:
    """Those and no others, and those sent that waited for the end that came."""
    found = [
        (row["root_id"], row["message_id"], row["on_status"], row["sent_at"] is not None)
        for row in rows.dependents
    ]
    expected = [
        (root.id, one.message_id, one.on, one.sent)
        for root in model.roots
        for one in root.dependents
    ]
    assert Counter(found) == Counter(expected)


def nothing_is_stuck(model: JobModel, broker: Sequence[Envelope], runs: Sequence[Run]) -> None:
    """A child that can start is asked for by a message that will come; one that runs has code, or a dead consumer."""
    coming = {waiting.key for waiting in model.outbox} | set(map(key_of_envelope, broker))
    for child in model.children:
        if child.status in WAITING:
            assert child.message in coming, child
        elif child.status in OPEN:
            assert child.run in runs or not model.is_held(child), child


class Moments:
    """Holds every moment against what it stands for: it is set, and it changes, when that happens and only then."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str], tuple[int, datetime | None]] = {}

    def check(self, rows: Rows, model: JobModel) -> None:
        by_id = {row["id"]: row for row in rows.jobs}
        for root in model.roots:
            row = by_id[root.id]
            started = min(root.own.starts, 1)
            self._hold(row, "started_at", started, is_set=started > 0)
            self._hold(row, "stopped_at", root.ends, is_set=root.has_ended)
            active_at = row["last_active_at"] + timedelta(seconds=root.idle)
            self._changed(root.id, "last_active_at", root.activities, active_at)
            for child in root.children:
                row = by_id[child.id]
                self._hold(row, "started_at", child.starts, is_set=child.starts > 0)
                self._hold(row, "stopped_at", child.ends, is_set=child.status not in OPEN)
        _stops_follow_each_other(rows)

    def _hold(self, row: Row, column: str, times: int, *, is_set: bool) -> None:
        value = row[column]
        assert (value is not None) == is_set, (column, row)
        assert value is None or value >= row["created_at"], (column, row)
        if is_set:
            self._changed(row["id"], column, times, value)

    def _changed(self, job_id: int, column: str, times: int, value: datetime) -> None:
        times_before, before = self._seen.get((job_id, column), (-1, None))
        assert (times == times_before) == (value == before), (job_id, column, before, value)
        self._seen[job_id, column] = (times, value)


def _stops_follow_each_other(rows: Rows) -> None:
    by_root = children_by_root(rows)
    for row in rows.jobs:
        if row["started_at"] and row["stopped_at"]:
            assert row["started_at"] <= row["stopped_at"], row
    for root in roots(rows):
        if root["stopped_at"] and root["status"] != JobStatus.STALE:
            last = max(child["stopped_at"] for child in by_root[root["id"]])
            assert root["stopped_at"] >= last, root


def roots(rows: Rows) -> list[Row]:
    return [row for row in rows.jobs if row["root_id"] is None]


def children_by_root(rows: Rows) -> Mapping[int, list[Row]]:
    found: dict[int, list[Row]] = {row["id"]: [] for row in roots(rows)}
    for row in rows.jobs:
        if row["root_id"] is not None:
            found[row["root_id"]].append(row)
    return found
