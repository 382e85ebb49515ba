import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from consumers import index
from consumers.index import Database
from consumers.modules import Module
from consumers.parsing import Document, Kind

CATS = Module("animals.cats", Path("/lib/animals/cats.py"))
DOGS = Module("animals.dogs", Path("/lib/animals/dogs.py"))

ABOUT = Document("", Kind.MODULE, "", "About cats, and nothing else.", 1)
CAT = Document("BlackCat", Kind.CLASS, "class BlackCat(Cat)", "A small animal.\n\nIt sleeps.", 3)
PURR = Document("BlackCat.purr", Kind.METHOD, "def purr(self)", "Make a soft sound.", 7)
FEED = Document("feed_all", Kind.FUNCTION, "def feed_all(food)", "Give food to every animal.", 11)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool:
        await index.create_schema(pool)
        yield pool


async def names(database: Database, query: str) -> list[str]:
    return [hit.full_name for hit in await index.search(database, query)]


async def kept(database: Database, module: Module = CATS) -> list[tuple[str, str]]:
    rows = await database.fetch(
        "SELECT name, docstring FROM search.document WHERE module = $1 ORDER BY line", module.name
    )
    return [(row["name"], row["docstring"]) for row in rows]


async def test_the_schema_may_be_created_by_many_at_once(database_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=4, max_size=4) as pool:
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(index.create_schema(pool))

        assert await index.search(pool, "cat") == []


async def test_a_document_is_found_with_all_that_is_known_of_it(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [ABOUT, CAT, PURR, FEED])

    [hit] = await index.search(database, "soft")

    assert hit == index.Hit(
        collection="zoo",
        module="animals.cats",
        name="BlackCat.purr",
        kind=Kind.METHOD,
        signature="def purr(self)",
        path="/lib/animals/cats.py",
        line=7,
        rank=hit.rank,
        excerpt=f"Make a {index.HIT_START}soft{index.HIT_STOP} sound.",
    )
    assert hit.full_name == "animals.cats.BlackCat.purr"
    assert hit.rank > 0


@pytest.mark.parametrize(
    "query",
    [
        "BlackCat",
        "black cat",
        "blackcat",
        "cats.BlackCat",
        "small",
        "sleeping",
        "animals sleep",
        '"small animal"',
        "elephant or sleeps",
        "class small -dog",
    ],
)
async def test_a_class_is_found_by_its_name_its_parts_and_its_words(
    database: Database, query: str
) -> None:
    await index.replace_module(database, "zoo", CATS, [CAT])

    assert await names(database, query) == ["animals.cats.BlackCat"]


@pytest.mark.parametrize("query", ["feed_all", "feed all", "animals.cats.feed_all", "giving food"])
async def test_a_function_is_found_by_its_name_its_parts_and_its_words(
    database: Database, query: str
) -> None:
    await index.replace_module(database, "zoo", CATS, [FEED])

    assert await names(database, query) == ["animals.cats.feed_all"]


@pytest.mark.parametrize("query", ["HTTPServer", "http server", "server", "httpserver"])
async def test_a_name_that_begins_with_capitals_is_found_by_its_parts(
    database: Database, query: str
) -> None:
    served = Document("HTTPServer", Kind.CLASS, "class HTTPServer", "It answers.", 1)
    await index.replace_module(database, "zoo", CATS, [served])

    assert await names(database, query) == ["animals.cats.HTTPServer"]


@pytest.mark.parametrize(
    "query", ["elephant", "small -sleeps", '"animal small"', "", "the", "!", "\0"]
)
async def test_what_is_not_there_is_not_found(database: Database, query: str) -> None:
    await index.replace_module(database, "zoo", CATS, [CAT])

    assert await names(database, query) == []


async def test_a_query_is_data_whatever_it_holds(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [CAT])

    assert await names(database, "'; DROP TABLE search.document; --") == []
    assert await names(database, "small %s $1 {} & | ! ( ) : *") == []
    assert await names(database, "small") == ["animals.cats.BlackCat"]


async def test_a_name_weighs_more_than_a_mention(database: Database) -> None:
    mention = Document("sit", Kind.FUNCTION, "def sit()", "As every cat does: feed it first.", 1)
    await index.replace_module(database, "zoo", DOGS, [mention])
    await index.replace_module(database, "zoo", CATS, [FEED])

    assert await names(database, "feed") == ["animals.cats.feed_all", "animals.dogs.sit"]


async def test_no_more_than_the_limit_are_returned_the_best_ones(database: Database) -> None:
    mentions = [
        Document(f"sit{n}", Kind.FUNCTION, f"def sit{n}()", "Sit where others feed.", n)
        for n in range(1, 30)
    ]
    await index.replace_module(database, "zoo", DOGS, mentions)
    await index.replace_module(database, "zoo", CATS, [FEED])

    hits = await index.search(database, "feed", limit=5)

    assert len(hits) == 5
    assert hits[0].full_name == "animals.cats.feed_all"
    assert [hit.rank for hit in hits] == sorted((hit.rank for hit in hits), reverse=True)


async def test_a_module_is_replaced_as_a_whole(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [ABOUT, CAT, PURR])

    changed = replace(PURR, docstring="Make a loud sound.")
    await index.replace_module(database, "zoo", CATS, [CAT, changed, FEED])

    assert await kept(database) == [
        ("BlackCat", CAT.docstring),
        ("BlackCat.purr", "Make a loud sound."),
        ("feed_all", FEED.docstring),
    ]
    assert await names(database, "soft") == []
    assert await names(database, "loud") == ["animals.cats.BlackCat.purr"]


async def versions(database: Database) -> dict[str, str]:
    rows = await database.fetch("SELECT name, xmin::text AS version FROM search.document")
    return {row["name"]: row["version"] for row in rows}


async def test_rows_that_say_the_same_are_not_written_again(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [CAT, PURR])
    before = await versions(database)

    await index.replace_module(database, "zoo", CATS, [CAT, replace(PURR, line=8)])

    after = await versions(database)
    assert after["BlackCat"] == before["BlackCat"]
    assert after["BlackCat.purr"] != before["BlackCat.purr"]


async def test_a_module_without_documents_leaves_none(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [CAT])

    await index.replace_module(database, "zoo", CATS, [])

    assert await kept(database) == []


async def test_other_modules_and_other_collections_stay(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [CAT])
    await index.replace_module(database, "zoo", DOGS, [FEED])
    await index.replace_module(database, "farm", CATS, [PURR])

    await index.replace_module(database, "zoo", CATS, [])

    assert await names(database, "animal") == [
        "animals.dogs.feed_all",
        "animals.cats.BlackCat.purr",
    ]


async def test_what_postgresql_cannot_keep_does_not_stop_the_rest(database: Database) -> None:
    strange = Document("odd\0", Kind.CLASS, "class odd\0", "nul\0nul and \ud800 half", 1)

    await index.replace_module(database, "zoo", CATS, [strange, FEED])

    assert await kept(database) == [("odd", "nulnul and ? half"), ("feed_all", FEED.docstring)]


async def test_a_very_long_docstring_is_kept_whole_and_found_by_its_beginning(
    database: Database,
) -> None:
    words = " ".join(f"größe{n}" for n in range(300_000))
    long = Document("long", Kind.FUNCTION, "def long()", words, 1)

    await index.replace_module(database, "zoo", CATS, [long])

    assert await kept(database) == [("long", words)]
    assert await names(database, "größe7") == ["animals.cats.long"]


async def test_a_very_long_word_does_not_stop_the_rest(database: Database) -> None:
    wide = Document("wide", Kind.FUNCTION, "def wide()", "findable " + "x" * 90_000, 1)

    await index.replace_module(database, "zoo", CATS, [wide])

    assert await names(database, "findable") == ["animals.cats.wide"]


async def test_modules_that_are_gone_are_forgotten(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [CAT])
    await index.replace_module(database, "zoo", DOGS, [FEED])
    await index.replace_module(database, "farm", DOGS, [FEED])

    await index.forget_other_modules(database, "zoo", [CATS])

    assert len(await kept(database, CATS)) == 1
    assert [hit.collection for hit in await index.search(database, "feed")] == ["farm"]


async def test_a_collection_without_modules_is_forgotten(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [CAT])

    await index.forget_other_modules(database, "zoo", [])

    assert await kept(database) == []


async def test_statistics_say_what_the_index_holds_of_a_collection(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [ABOUT, CAT, PURR, FEED])
    await index.replace_module(database, "zoo", DOGS, [FEED])
    await index.replace_module(database, "farm", DOGS, [FEED])

    counted = await index.refresh_statistics(database, "zoo")

    assert counted == index.Statistics(
        collection="zoo",
        modules=2,
        documents=5,
        classes=1,
        functions=3,
        refreshed_at=counted.refreshed_at,
    )
    assert await index.statistics_of(database, "zoo") == counted


async def test_statistics_follow_what_is_there_when_they_are_refreshed(database: Database) -> None:
    await index.replace_module(database, "zoo", CATS, [CAT])
    first = await index.refresh_statistics(database, "zoo")
    await index.replace_module(database, "zoo", CATS, [])

    assert await index.statistics_of(database, "zoo") == first

    second = await index.refresh_statistics(database, "zoo")
    assert (second.modules, second.documents) == (0, 0)
    assert second.refreshed_at > first.refreshed_at


async def test_there_are_no_statistics_before_anybody_counted(database: Database) -> None:
    assert await index.statistics_of(database, "zoo") is None
