"""The full-text index of documentation, in PostgreSQL: write a module, search, count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import asyncpg

from consumers.modules import Module
from consumers.parsing import Document, Kind

Database: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

SCHEMA = Path(__file__).with_name("schema.sql")
HIT_START, HIT_STOP = "\u2039", "\u203a"
"""What stands around the words of an excerpt that were searched for."""
EXCERPT = f"StartSel={HIT_START}, StopSel={HIT_STOP}, MinWords=8, MaxWords=24"


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that a search found; the best match has the highest rank."""

    collection: str
    module: str
    name: str
    kind: Kind
    signature: str
    path: str
    line: int
    rank: float
    excerpt: str

    @property
    def full_name(self) -> str:
        """The name as it is written in code, such as `json.JSONDecoder.decode`."""
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the index holds of one collection; `modules` counts those with documentation."""

    collection: str
    modules: int
    documents: int
    classes: int
    functions: int
    refreshed_at: datetime


async def create_schema(database: Database) -> None:
    """Afterwards the index's tables exist; many may call this at once."""
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('search.schema'))")
        await connection.execute(SCHEMA.read_text())


REPLACE_MODULE = """
WITH found AS (
    SELECT *
      FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::int[])
           AS found(name, kind, signature, docstring, line)
), gone AS (
    DELETE FROM search.document
     WHERE collection = $1 AND module = $2 AND name NOT IN (SELECT name FROM found)
)
INSERT INTO search.document AS document
       (collection, module, path, name, kind, signature, docstring, line)
SELECT $1, $2, $3, name, kind, signature, docstring, line FROM found
ON CONFLICT (collection, module, name) DO UPDATE
   SET path = excluded.path, kind = excluded.kind, signature = excluded.signature,
       docstring = excluded.docstring, line = excluded.line
 WHERE (document.path, document.kind, document.signature, document.docstring, document.line)
       IS DISTINCT FROM
       (excluded.path, excluded.kind, excluded.signature, excluded.docstring, excluded.line)
"""


async def replace_module(
    database: Database, collection: str, module: Module, documents: Sequence[Document]
) -> None:
    """Afterwards the index holds these documents of the module, whose names differ, and no other.

    One statement: nobody sees the module half replaced, and rows that say the same stay untouched.
    """
    await database.execute(
        REPLACE_MODULE,
        collection,
        module.name,
        str(module.path),
        [storable(document.name) for document in documents],
        [document.kind for document in documents],
        [storable(document.signature) for document in documents],
        [storable(document.docstring) for document in documents],
        [document.line for document in documents],
    )


def storable(text: str) -> str:
    """The text as PostgreSQL can keep it: without NUL, and with `?` for half a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


FORGET_OTHER_MODULES = """
DELETE FROM search.document WHERE collection = $1 AND module <> ALL ($2::text[])
"""


async def forget_other_modules(
    database: Database, collection: str, modules: Iterable[Module]
) -> None:
    """Afterwards the index holds nothing of this collection but documents of these modules."""
    names = [module.name for module in modules]
    await database.execute(FORGET_OTHER_MODULES, collection, names)


SEARCH = """
WITH best AS (
    SELECT document.*, query, ts_rank(words, query, 1) AS rank
      FROM search.document, websearch_to_tsquery('english', translate($1, '._', '  ')) AS query
     WHERE words @@ query
     ORDER BY rank DESC, collection, module, name
     LIMIT $2
)
SELECT collection, module, name, kind, signature, path, line, rank,
       ts_headline('english', docstring, query, $3) AS excerpt
  FROM best
 ORDER BY rank DESC, collection, module, name
"""


async def search(database: Database, query: str, *, limit: int = 10) -> list[Hit]:
    """The best matches, best first.

    All words must occur, in any of their forms; "a phrase", `or` and -not are understood.
    """
    rows = await database.fetch(SEARCH, storable(query), limit, EXCERPT)
    return [Hit(**{**row, "kind": Kind(row["kind"])}) for row in rows]


REFRESH_STATISTICS = """
INSERT INTO search.statistics
SELECT $1, count(DISTINCT module), count(*),
       count(*) FILTER (WHERE kind = 'class'),
       count(*) FILTER (WHERE kind IN ('function', 'method')),
       now()
  FROM search.document WHERE collection = $1
ON CONFLICT (collection) DO UPDATE
   SET modules = excluded.modules, documents = excluded.documents, classes = excluded.classes,
       functions = excluded.functions, refreshed_at = excluded.refreshed_at
RETURNING *
"""


async def refresh_statistics(database: Database, collection: str) -> Statistics:
    """Count what the index holds of the collection now, and keep the numbers."""
    [row] = await database.fetch(REFRESH_STATISTICS, collection)
    return Statistics(**row)


STATISTICS = "SELECT * FROM search.statistics WHERE collection = $1"


async def statistics_of(database: Database, collection: str) -> Statistics | None:
    """The numbers as they were last counted; None where nobody has counted yet."""
    row = await database.fetchrow(STATISTICS, collection)
    return Statistics(**row) if row else None
