"""Cleaning up: roots that ended long ago go, with all that belongs to them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate

import asyncpg

from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.statements import statements

SQL = statements("cleanup")
ROOTS = 200
CHILDREN = 10_000


@dataclass(frozen=True, slots=True)
class Ended:
    """Roots that ended in one way, and the children of them all."""

    status: JobStatus
    roots: int
    children: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed: roots, their children (own ones among them) and their dependent messages."""

    roots: int = 0
    children: int = 0
    dependents: int = 0

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(
            self.roots + other.roots,
            self.children + other.children,
            self.dependents + other.dependents,
        )


async def count_ended(connection: Connection, ages: Mapping[JobStatus, timedelta]) -> list[Ended]:
    """For each of these ends, the roots that came to it longer ago than its age."""
    rows = await connection.fetch(SQL["count_ended"], *_columns(ages))
    return [Ended(JobStatus(row["status"]), row["roots"], row["children"]) for row in rows]


async def have_to_myself(connection: Connection) -> bool:
    """Whether nobody else removes by this rule until the transaction ends, which the caller opens."""
    return bool(await connection.fetchval(SQL["have_to_myself"]))


async def remove_ended(connection: Connection, ages: Mapping[JobStatus, timedelta]) -> Removed:
    """Some of those roots are gone, each with everything that belongs to it; none were left where `roots` is 0.

    A call removes a few hundred roots at most, and as few as one where they have many children. Roots that
    somebody else has in hand are passed over. The caller opens the transaction.
    """
    locked = await connection.fetch(SQL["lock_ended"], *_columns(ages), ROOTS)
    if not locked:
        return Removed()
    row = await connection.fetchrow(SQL["remove_roots"], _as_many_as_fit(locked))
    assert row is not None
    return Removed(row["roots"], row["children"], row["dependents"])


def _as_many_as_fit(roots: Iterable[asyncpg.Record]) -> list[int]:
    """The first roots, until their children are many; one at least."""
    rows = list(roots)
    before = accumulate((row["children"] for row in rows), initial=0)
    return [row["id"] for row, so_far in zip(rows, before, strict=False) if so_far < CHILDREN]


def _columns(ages: Mapping[JobStatus, timedelta]) -> tuple[list[JobStatus], list[timedelta]]:
    return list(ages), list(ages.values())
