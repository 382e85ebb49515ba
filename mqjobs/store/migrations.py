"""The schema, brought from version to version by the files in `versions/`.

A step says on its first line which versions go on working on the schema that it leaves, `-- works with: 3` and later,
so that consumers of the version before may run while those of the next are rolled out.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from mqjobs.model.errors import SchemaMismatch
from mqjobs.store.database import Connection, forbidden, is_forbidden
from mqjobs.store.statements import statements

SQL = statements("migrations")
VERSIONS = files("mqjobs.store").joinpath("versions")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: the SQL that leads from the version before to this one.

    Code that knows the schema of version `works_with`, or a later one, works on what it leaves.
    """

    version: int
    name: str
    sql: str
    works_with: int


def migrations(versions: Traversable = VERSIONS) -> list[Migration]:
    """Every step in this folder, in order."""
    found = []
    for path in versions.iterdir():
        number, _, name = path.name.removesuffix(".sql").partition("_")
        if path.name.endswith(".sql"):
            sql = path.read_text("utf-8")
            found.append(Migration(int(number), name, sql, _works_with(sql, int(number))))
    return sorted(found, key=lambda migration: migration.version)


def _works_with(sql: str, version: int) -> int:
    """Who says nothing breaks with what was before."""
    said = re.match(r"-- works with: (\d+)\n", sql)
    return int(said[1]) if said else version


def roles() -> str:
    """The SQL that makes roles for producers, consumers and those who look on; it can be run again."""
    return files("mqjobs.store").joinpath("roles.sql").read_text("utf-8")


async def current_version(connection: Connection) -> int:
    """The version of this database's schema; 0 where there is none."""
    if not await connection.fetchval(SQL["has_versions"]):
        return 0
    version: int = await connection.fetchval(SQL["current"])
    return version


async def pending(connection: Connection) -> list[Migration]:
    """The steps that `migrate` would take.

    Raises SchemaMismatch where the database is ahead of this version, and no longer works with it.
    """
    version = await current_version(connection)
    known = migrations()
    newest = known[-1].version
    if version > newest and await connection.fetchval(SQL["works_with"], newest) > newest:
        raise SchemaMismatch(
            f"the database's schema is version {version}, this mqjobs knows {newest} at most: "
            "upgrade mqjobs here"
        )
    return [migration for migration in known if migration.version > version]


async def migrate(connection: Connection) -> list[Migration]:
    """Bring the schema to the newest version, all steps or none; the steps that were taken.

    Others that migrate at the same time wait, and then find nothing to do.
    """
    async with connection.transaction():
        await connection.execute(SQL["lock"])
        await connection.execute(SQL["prepare"])
        taken = await pending(connection)
        for migration in taken:
            await connection.execute(migration.sql)
            await connection.execute(
                SQL["record"], migration.version, migration.name, migration.works_with
            )
        return taken


async def check(connection: Connection) -> None:
    """Raises Forbidden where we may not look, and SchemaMismatch for a schema that does not work with this version.

    It is to be the newest that this version knows, or a later one that works with it.
    """
    try:
        missing = await pending(connection)
    except Exception as error:
        if is_forbidden(error):
            raise forbidden(error) from error
        raise
    if missing:
        raise SchemaMismatch(
            f"the database's schema is version {missing[0].version - 1}, this mqjobs needs "
            f"{missing[-1].version}: run mqjobs migrate"
        )
