"""Interrupts: jobs that are not to run, or to run no longer."""

from collections.abc import Sequence

from mqjobs.model.errors import UnknownJob
from mqjobs.model.interruption import Interruption
from mqjobs.model.status import JobStatus
from mqjobs.store.database import Connection
from mqjobs.store.roots import SQL as ROOTS
from mqjobs.store.roots import Moved, lock_root, move_roots
from mqjobs.store.statements import statements

SQL = statements("interrupts")


async def interrupt(connection: Connection, job_id: int) -> Interruption:
    """The job is cancelled, or will be when what runs of it has stopped (a child) or ended (a root's children).

    Raises UnknownJob. The caller opens the transaction.
    """
    root_id = await connection.fetchval(SQL["root_id_of"], job_id)
    if root_id is None:
        raise UnknownJob(f"there is no job {job_id}: see mqjobs jobs list")
    await lock_root(connection, root_id)
    if root_id == job_id:
        return await _interrupt_root(connection, root_id)
    return await _interrupt_child(connection, job_id)


async def cancel_if_new(connection: Connection, owner_id: str, name: str | None = None) -> int:
    """Roots of this owner (of this name, if one is given) that nobody has started are cancelled; how many.

    Of a root that a retry has opened again the own child alone is: the others have messages of their own. The caller
    opens the transaction.
    """
    return await _cancel_unstarted(connection, owner_id, name, [JobStatus.NEW])


async def cancel_unread(connection: Connection, owner_id: str) -> int:
    """The message is a dead letter: what waits for it alone is cancelled, started before or not; how many roots.

    The caller opens the transaction.
    """
    waiting = [JobStatus.NEW, JobStatus.FAILED_REDELIVERED]
    return await _cancel_unstarted(connection, owner_id, None, waiting)


async def _cancel_unstarted(
    connection: Connection, owner_id: str, name: str | None, statuses: Sequence[JobStatus]
) -> int:
    wanted = owner_id, name, list(statuses)
    rows = await connection.fetch(ROOTS["unstarted_roots_of"], *wanted)
    for row in rows:
        await lock_root(connection, row["id"])
    still = await connection.fetch(ROOTS["unstarted_roots_of"], *wanted) if rows else []
    for row in still:
        if row["status"] == JobStatus.NEW:
            await _interrupt_root(connection, row["id"])
        else:
            await _interrupt_child(connection, row["own_child_id"])
    return len(still)


async def _interrupt_root(connection: Connection, root_id: int) -> Interruption:
    children = await connection.fetchval(SQL["interrupt_root"], root_id)
    if children is None:
        return Interruption.ENDED_BEFORE
    cancelled = await connection.fetchval(SQL["cancel_waiting"], root_id)
    if cancelled:
        await move_roots(connection, [Moved(root_id, JobStatus.CANCELLED)] * cancelled)
    if children == 1:
        await connection.execute(SQL["stop_own_child"], root_id)
    return await _where_it_stands(connection, root_id)


async def _where_it_stands(connection: Connection, root_id: int) -> Interruption:
    ended = await connection.fetchval(SQL["has_ended"], root_id)
    return Interruption.CANCELLED if ended else Interruption.STOPPING


async def _interrupt_child(connection: Connection, job_id: int) -> Interruption:
    root_id = await connection.fetchval(SQL["cancel_child"], job_id)
    if root_id is not None:
        await move_roots(connection, [Moved(root_id, JobStatus.CANCELLED)])
        return Interruption.CANCELLED
    asked = await connection.fetchval(SQL["ask_to_stop"], job_id)
    return Interruption.STOPPING if asked else Interruption.ENDED_BEFORE
