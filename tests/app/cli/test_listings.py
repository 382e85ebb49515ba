from tests.support.shell import Shell
from tests.support.stored_jobs import StoredJobs


async def test_topics_are_listed_with_what_their_classes_say(shell: Shell) -> None:
    lines = (await shell("topics")).out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "TOPIC",
        "shop.price",
        "shop.reindex",
        "shop.told",
    ]
    assert lines[2].endswith("unique  Rebuild the index of a collection.")
    assert "no processor here" in lines[3]

    price, reindex, told = (await shell("topics", "--json")).json
    assert (price["queues"], price["priority"], price["retry"]["attempts"]) == (
        ["prices"],
        "high",
        3,
    )
    assert price["body"]["properties"]["amount"]["type"] == "integer"
    assert reindex["is_job_aware"]
    assert told["queues"] == []


async def test_processors_are_listed_with_their_topics_and_queues(shell: Shell) -> None:
    lines = (await shell("processors")).out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["default", "shop.reindex", "shop.ReindexProcessor"],
        ["prices", "shop.price", "shop.PriceProcessor"],
    ]
    listed = (await shell("processors", "--json")).json
    assert listed[1] == {
        "queue": "prices",
        "topic": "shop.price",
        "processor": "shop.PriceProcessor",
    }


async def test_an_app_without_anything_says_what_to_do(shell: Shell) -> None:
    (shell.folder / "empty.py").write_text("from mqjobs import App\n\napp = App()\n")
    assert "app.subscribe" in (await shell("topics", "--app", "empty:app")).out
    assert "app.subscribe" in (await shell("processors", "--app", "empty:app")).out


async def test_consumers_are_listed_with_what_they_run(shell: Shell, stored: StoredJobs) -> None:
    assert (await shell("consumers", "list")).out == "no consumers\n"
    busy, dead = await stored.consumer(), await stored.consumer(alive=False)
    root = await stored.root("reindex")
    own = await stored.run(root.own_child_id, busy)
    for child in await stored.children(own, "a", "b"):
        await stored.run(child, busy)

    lines = (await shell("consumers", "list", "--each", "2")).out.splitlines()
    short = str(busy)[-8:]
    assert lines[1].split()[:4] == [short, "here", "1", "alive"]
    assert lines[2].split()[:4] == [str(dead)[-8:], "here", "1", "dead"]
    assert lines[4].split() == ["JOB", "NAME", "ROOT", "FOR", "CONSUMER"]
    assert lines[5].split()[:3] == [str(own.id), "reindex", str(root.id)]
    assert lines[7].split() == ["…", "1", "more", short]

    first, second = (await shell("consumers", "list", "--json")).json
    assert (first["id"], first["running"], len(first["jobs"])) == (str(busy), 3, 3)
    assert (second["is_alive"], second["jobs"]) == (False, [])
