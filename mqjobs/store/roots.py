"""Root jobs: their birth, their name's way from a stale one to a new one, and their end."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from uuid_utils.compat import uuid7

from mqjobs.model.message import Envelope
from mqjobs.model.status import JobStatus
from mqjobs.model.stopped import RootJobStopped
from mqjobs.model.topic import definition_of
from mqjobs.store.database import Connection
from mqjobs.store.statements import statements

SQL = statements("roots")
TRIES = 10


@dataclass(frozen=True, slots=True)
class NewRoot:
    """A root that is asked for: whose it is, its name, the message to send for it again, when it may take a name over.

    `time_before_stale` None: never. `awaits_message`: the message runs it, so that one that is lost comes again.
    """

    owner_id: str
    name: str
    envelope: Envelope | None
    time_before_stale: timedelta | None
    awaits_message: bool = True


@dataclass(frozen=True, slots=True)
class RootFound:
    """The root of that owner and name, and its own child; `created` says that it is new."""

    id: int
    own_child_id: int
    status: JobStatus
    created: bool


@dataclass(frozen=True, slots=True)
class NameTaken:
    """An active root has the name."""

    by: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A child of this root has moved to this status; None: it was created."""

    root_id: int
    status: JobStatus | None


async def find_root(connection: Connection, owner_id: str, name: str) -> RootFound | None:
    """The root of this owner and name."""
    row = await connection.fetchrow(SQL["find_root"], owner_id, name)
    if row is None:
        return None
    return RootFound(row["id"], row["own_child_id"], JobStatus(row["status"]), created=False)


async def create_root(connection: Connection, new: NewRoot) -> RootFound | NameTaken:
    """The root of this owner and name, found or made; or the active root that has the name.

    A stale root in the way gives its name up in the same transaction, which the caller opens.
    """
    for _ in range(TRIES):
        found = await find_root(connection, new.owner_id, new.name)
        if found is not None:
            return found
        row = await connection.fetchrow(SQL["create_root"], new.owner_id, new.name, *_message(new))
        if row is not None:
            return RootFound(row["root_id"], row["id"], JobStatus.NEW, created=True)
        in_the_way = await connection.fetchval(SQL["root_in_the_way"], new.name)
        if in_the_way is not None and not await _took_over(connection, in_the_way, new):
            return NameTaken(in_the_way)
    raise RuntimeError(f"no root {new.name!r} could be made or found in {TRIES} tries")


async def lock_roots_in_the_way(connection: Connection, wanted: Sequence[NewRoot]) -> None:
    """Roots that may have to give these names up are this transaction's alone: whoever asks for several begins here.

    Roots are locked in the order of their ids, whatever the order of their names.
    """
    takers = [
        (new.name, new.time_before_stale) for new in wanted if new.time_before_stale is not None
    ]
    if len(takers) > 1:
        names, times = zip(*takers, strict=True)
        await connection.execute(SQL["lock_roots_in_the_way"], names, times)


async def _took_over(connection: Connection, root_id: int, new: NewRoot) -> bool:
    """Whether the root is stale now, or has ended meanwhile, so that its name is free."""
    if new.time_before_stale is None:
        return False
    became: str = await connection.fetchval(SQL["take_over"], root_id, new.time_before_stale)
    if became == "stale":
        await _announce(connection, [(root_id, new.name, JobStatus.STALE)])
    return became != "in the way"


async def lock_roots_of(connection: Connection, child_ids: Iterable[int]) -> None:
    """The roots of these children are this transaction's alone; every write about a child begins here."""
    await connection.execute(SQL["lock_roots_of"], sorted(child_ids))


async def lock_root(connection: Connection, root_id: int) -> None:
    """The root is this transaction's alone."""
    await connection.execute(SQL["lock_root"], root_id)


async def move_roots(connection: Connection, moves: Sequence[Moved]) -> int:
    """The roots follow their children: counters, progress, status; those whose last child ended have ended.

    An ended root's dependent messages go out, and those who subscribe are told; how many messages that were. The roots
    are locked already.
    """
    counts = Counter((move.root_id, move.status) for move in moves)
    ids = sorted({move.root_id for move in moves})
    rows = await connection.fetch(
        SQL["move_roots"],
        ids,
        *(
            [counts[root_id, status] for root_id in ids]
            for status in (None, JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED)
        ),
    )
    ended = [(row["id"], row["name"], JobStatus(row["status"])) for row in rows]
    return await end_roots(connection, [root for root in ended if root[2].is_terminal])


async def end_roots(connection: Connection, ended: Sequence[tuple[int, str, JobStatus]]) -> int:
    """What follows from the end of these roots (id, name, status): dependent messages, announcements; how many."""
    if not ended:
        return 0
    ids, _, ends = zip(*ended, strict=True)
    released = await connection.execute(SQL["release_dependents"], ids, ends)
    return _count(released) + await _announce(connection, ended)


async def _announce(connection: Connection, ended: Sequence[tuple[int, str, JobStatus]]) -> int:
    ids, names, ends = zip(*ended, strict=True)
    topic = definition_of(RootJobStopped).name
    announced = await connection.execute(
        SQL["announce_ends"], topic, [uuid7() for _ in ids], ids, names, ends
    )
    return _count(announced)


def _count(inserted: str) -> int:
    """How many rows a statement has inserted, by what PostgreSQL answers to it."""
    return int(inserted.split()[-1])


def _message(new: NewRoot) -> tuple[object, ...]:
    envelope = new.envelope
    if envelope is None:
        return *(None,) * 7, False, None
    return (
        envelope.id,
        envelope.topic,
        envelope.queue,
        envelope.body,
        json.dumps(dict(envelope.headers)),
        int(envelope.priority),
        envelope.expires_at,
        new.awaits_message,
        envelope.job_id,
    )
