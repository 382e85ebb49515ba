"""Interrupts: jobs that are not to run, or to run no longer."""

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

    The caller opens the transaction.
    """
    rows = await connection.fetch(ROOTS["new_roots_of"], owner_id, name)
    for row in rows:
        await lock_root(connection, row["id"])
    still_new = (
        [row["id"] for row in await connection.fetch(ROOTS["new_roots_of"], owner_id, name)]
        if rows
        else []
    )
    for root_id in still_new:
        await _interrupt_root(connection, root_id)
    return len(still_new)


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
