"""A disk that is full: a small file system of its own, on which the tables stand for a while."""

import os
import shutil
import subprocess
import tempfile
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

import asyncpg

from mqjobs.store.database import Connection
from tests.faults.arena import Arena
from tests.faults.harm import again_and_again
from tests.faults.postgres import away
from tests.support.servers import ServerError

MEGABYTE = 1024 * 1024
_ROOM_TO_MOVE = 16 * MEGABYTE
_KINDS = ("TABLE", "INDEX")


@asynccontextmanager
async def full(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """Nothing more fits on the disk of the tables."""
    async with arena.connected() as connection:
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
    with small_disk(2 * size + _ROOM_TO_MOVE, owner_of=arena.postgres.folder) as disk:
        async with _tables_on(arena, disk / "tables"), away(arena, "the disk is full"):
            filler = disk / "filler"
            await to_thread(_fill, filler)
            try:
                yield
            finally:
                filler.unlink()


def can_be_had() -> bool:
    """Whether this process may make a small file system: only root on Linux may."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def small_disk(size: int, *, owner_of: Path) -> Iterator[Path]:
    """A file system of so many bytes, with a folder `tables` of the same owner as this one; needs root on Linux."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        raise ServerError(
            "a disk can be made full only by root on Linux, who can mount a small one"
        )
    disk = Path(tempfile.mkdtemp(prefix="mqjobs-disk-"))
    disk.chmod(0o755)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", disk], check=True
    )
    try:
        tables = disk / "tables"
        tables.mkdir(mode=0o700)
        owner = owner_of.stat()
        os.chown(tables, owner.st_uid, owner.st_gid)
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
        disk.rmdir()


@asynccontextmanager
async def _tables_on(arena: Arena, folder: Path) -> AsyncIterator[None]:
    async with arena.connected() as connection:
        await connection.execute(f"CREATE TABLESPACE {arena.name} LOCATION '{folder}'")
        await _move(connection, "pg_default", arena.name)
        try:
            yield
        finally:
            await _move(connection, arena.name, "pg_default")
            await connection.execute(f"DROP TABLESPACE {arena.name}")


async def _move(connection: Connection, before: str, after: str) -> None:
    for kind in _KINDS:
        move = f"ALTER {kind} ALL IN TABLESPACE {before} SET TABLESPACE {after}"
        while True:
            try:
                await connection.execute(move)
            except asyncpg.DeadlockDetectedError:
                continue
            break


def _fill(filler: Path) -> None:
    """Until not one more block fits."""
    with filler.open("wb", buffering=0) as file:
        for size in (MEGABYTE, 4096):
            try:
                while True:
                    file.write(b"0" * size)
            except OSError:
                continue


FAULTS = again_and_again({"database-full": full}, lasting=(1, 5), after=(5, 20))
