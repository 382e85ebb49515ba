"""Dead letters as operators have them in hand: looked at, replayed, dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from mqjobs.model.errors import MessageError, RetryRefused
from mqjobs.model.message import Envelope
from mqjobs.model.status import CHILD_RETRIES, JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.job_reports import LAST_ID, StaleAfter
from mqjobs.store.messages import envelope_of
from mqjobs.store.retries import retry
from mqjobs.store.roots import NameTaken, NewRoot, create_root, lock_roots_in_the_way
from mqjobs.store.statements import statements

SQL = statements("dead_letters")


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter as it is kept: its own id, the message, why and when it died; names of roots that it owned then."""

    id: int
    envelope: Envelope
    reason: str
    detail: str
    dead_at: datetime
    root_names: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LettersWanted:
    """Which dead letters: of this topic, queue and reason (None: of any), from below this id on."""

    topic: str | None = None
    queue: str | None = None
    reason: str | None = None
    before: int | None = None
    limit: int | None = 50


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: the message that is on its way, jobs that were ended and are new again, new root jobs.

    `message_id` is another than the letter had where it was sent once more, for a new root job.
    """

    message_id: UUID
    retried: Sequence[int] = ()
    created: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class _JobOfMessage:
    """A child that waits for a message; `is_unstarted`: it is the own child of a root that never ran."""

    id: int
    name: str
    status: JobStatus
    is_unstarted: bool

    @property
    def needs_new_root(self) -> bool:
        """Whether its root is over and done with, so that the name's next root has to be a new one."""
        return self.status is JobStatus.STALE or (
            self.status is JobStatus.CANCELLED and self.is_unstarted
        )


async def dead_letters(connection: Connection, wanted: LettersWanted) -> list[KeptLetter]:
    """The newest dead letters that are wanted, newest first; the next page is from before the last one's id on."""
    before = LAST_ID if wanted.before is None else wanted.before
    rows = await connection.fetch(
        SQL["dead_letters"], before, wanted.topic, wanted.queue, wanted.reason, wanted.limit
    )
    return [_letter_of(row) for row in rows]


async def dead_letter_ids(connection: Connection, wanted: LettersWanted) -> list[int]:
    """The ids of the dead letters that are wanted, the oldest first; a limit of None: of them all."""
    rows = await connection.fetch(
        SQL["dead_letter_ids"], wanted.topic, wanted.queue, wanted.reason, wanted.limit
    )
    return [row["id"] for row in rows]


async def dead_letter(connection: Connection, letter_id: int) -> KeptLetter:
    """The dead letter of this id. Raises MessageError where there is none."""
    return _letter_of(await _fetch(connection, "dead_letter", letter_id))


async def drop(connection: Connection, letter_ids: Sequence[int]) -> int:
    """These dead letters are gone for good; how many there were."""
    return len(await connection.fetch(SQL["drop"], letter_ids))


async def replay(connection: Connection, letter_id: int, stale_after: StaleAfter) -> Replayed:
    """The message is on its way again as at its first attempt, whenever it was to expire, and its job really runs.

    A job that failed or was cancelled under it is retried. Where its root job was cancelled before anybody started
    it, is stale, or was cleaned up, the message is sent once more, under a new id and with a new root job.

    Raises MessageError where there is no such letter, RetryRefused where the job cannot run: its name is taken, it is
    a child of a stale root, or it was cleaned up. Then nothing has changed. The caller opens the transaction.
    """
    letter = _letter_of(await _fetch(connection, "dead_letter", letter_id))
    jobs = await _jobs_of(connection, letter)
    await _fetch(connection, "lock_dead_letter", letter_id)  # after the roots, as by everybody
    _refuse_lost_child(letter, jobs)
    names = _names_of_new_roots(letter, jobs)
    if names:
        return await _send_anew(connection, letter, names, stale_after)
    ended = [job.id for job in jobs if job.status in CHILD_RETRIES]
    if ended:
        return await _retry(connection, letter, ended)
    await connection.execute(SQL["revive"], letter.id, None)
    return Replayed(letter.envelope.id)


async def _jobs_of(connection: Connection, letter: KeptLetter) -> list[_JobOfMessage]:
    """With their roots locked."""
    message = letter.envelope.job_id, str(letter.envelope.id)
    await connection.execute(SQL["lock_roots_of_message"], *message)
    return [
        _JobOfMessage(row["id"], row["name"], JobStatus(row["status"]), row["is_unstarted"])
        for row in await connection.fetch(SQL["jobs_of_message"], *message)
    ]


def _names_of_new_roots(letter: KeptLetter, jobs: Sequence[_JobOfMessage]) -> list[str]:
    if letter.envelope.job_id is not None:
        return []
    there = {job.name for job in jobs}
    lost = {name for name in letter.root_names if name not in there}
    return sorted({job.name for job in jobs if job.needs_new_root} | lost)


def _refuse_lost_child(letter: KeptLetter, jobs: Sequence[_JobOfMessage]) -> None:
    job_id = letter.envelope.job_id
    if job_id is None:
        return
    statuses = {job.id: job.status for job in jobs}
    if job_id not in statuses:
        raise RetryRefused(
            f"dead letter {letter.id} belongs to job {job_id}, which was cleaned up: drop it, "
            "and start the root job's work again"
        )
    if statuses[job_id] is JobStatus.STALE:
        raise RetryRefused(
            f"dead letter {letter.id} belongs to job {job_id} of a stale root job: drop it, "
            "and start the root job's work again"
        )


async def _retry(connection: Connection, letter: KeptLetter, job_ids: Sequence[int]) -> Replayed:
    """The jobs send their message themselves."""
    for job_id in job_ids:
        await retry(connection, job_id)
    await drop(connection, [letter.id])
    return Replayed(letter.envelope.id, retried=job_ids)


async def _send_anew(
    connection: Connection,
    letter: KeptLetter,
    names: Sequence[str],
    stale_after: StaleAfter,
) -> Replayed:
    """The old root stays as it ended, and belongs to the old id."""
    row = await connection.fetchrow(SQL["revive"], letter.id, uuid7())
    assert row is not None
    envelope = envelope_of(row)
    wanted = [NewRoot(str(envelope.id), name, envelope, stale_after(name)) for name in names]
    await lock_roots_in_the_way(connection, wanted)
    created = []
    for new in wanted:
        root = await create_root(connection, new)
        if isinstance(root, NameTaken):
            raise RetryRefused(
                f"dead letter {letter.id} cannot be replayed while root job {root.by} has the name {new.name!r}: "
                "wait for that one, or interrupt it"
            )
        created.append(root.id)
    return Replayed(envelope.id, created=created)


async def _fetch(connection: Connection, statement: str, letter_id: int) -> asyncpg.Record:
    row = None
    if 0 < letter_id <= LAST_ID:
        row = await connection.fetchrow(SQL[statement], letter_id)
    if row is None:
        raise MessageError(f"there is no dead letter {letter_id}: see mqjobs dead list")
    return row


def _letter_of(row: asyncpg.Record) -> KeptLetter:
    return KeptLetter(
        row["id"],
        envelope_of(row),
        row["dead_reason"],
        row["dead_detail"] or "",
        row["dead_at"],
        row["root_names"] or (),
    )
