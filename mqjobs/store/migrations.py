"""The schema, brought from version to version by the files in `versions/`."""

from dataclasses import dataclass
from importlib.resources import files

from mqjobs.model.errors import SchemaMismatch
from mqjobs.store.database import Connection
from mqjobs.store.statements import statements

SQL = statements("migrations")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: the SQL that leads from the version before to this one."""

    version: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """Every step, in order."""
    found = []
    for path in files("mqjobs.store").joinpath("versions").iterdir():
        number, _, name = path.name.removesuffix(".sql").partition("_")
        if path.name.endswith(".sql"):
            found.append(Migration(int(number), name, path.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.version)


async def current_version(connection: Connection) -> int:
    """The version of this database's schema; 0 where there is none."""
    if not await connection.fetchval(SQL["has_versions"]):
        return 0
    version: int = await connection.fetchval(SQL["current"])
    return version


async def pending(connection: Connection) -> list[Migration]:
    """The steps that `migrate` would take. Raises SchemaMismatch where the database is ahead of this version."""
    version = await current_version(connection)
    known = migrations()
    if version > known[-1].version:
        raise SchemaMismatch(
            f"the database's schema is version {version}, this mqjobs knows {known[-1].version} at most: "
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
            await connection.execute(SQL["record"], migration.version, migration.name)
        return taken


async def check(connection: Connection) -> None:
    """Raises SchemaMismatch unless the schema is the newest that this version knows."""
    missing = await pending(connection)
    if missing:
        raise SchemaMismatch(
            f"the database's schema is version {missing[0].version - 1}, this mqjobs needs "
            f"{missing[-1].version}: run mqjobs migrate"
        )
