import re

from mqjobs.model.status import JobStatus
from mqjobs.store.children import Dependent
from tests.support.envelopes import an_envelope
from tests.support.shell import Shell
from tests.support.stored_jobs import TOPIC, StoredJobs


async def split_root(stored: StoredJobs) -> dict[str, int]:
    """A root whose own child runs, with children in several statuses, by name."""
    root = await stored.root("reindex:spring")
    own = await stored.run(root.own_child_id)
    names = ["fine", "broken", "a", "b", "c", "d"]
    ids = dict(zip(names, await stored.children(own, *names), strict=True))
    await stored.dependents(own, Dependent(an_envelope(TOPIC, body=b'{"a": 1}'), JobStatus.FAILED))
    await stored.end(await stored.run(ids["fine"]), JobStatus.SUCCESS)
    error = "Traceback (most recent call last):\n  …\nValueError: [bold]no[/bold] rate\n"
    await stored.end(await stored.run(ids["broken"]), JobStatus.FAILED, error)
    return {"root": root.id, "own": own.id, **ids}


async def test_roots_are_listed_newest_first(shell: Shell, stored: StoredJobs) -> None:
    failed = await stored.ended_root("mail.run", JobStatus.FAILED)
    running = (await split_root(stored))["root"]
    await stored.quiet(running)

    heading, first, second = (await shell("jobs", "list")).out.splitlines()
    assert heading.split() == ["ID", "NAME", "STATUS", "PROGRESS", "CHILDREN", "CREATED", "TOOK"]
    assert first.split()[:4] == [str(running), "reindex:spring", "running,", "looks"]
    assert "7, 5 open, 1 failed" in first
    assert second.split()[:5] == [str(failed), "mail.run", "failed", "100%", "1,"]

    listed = (await shell("jobs", "list", "--json")).json
    assert [(root["id"], root["status"]) for root in listed] == [
        (running, "running"),
        (failed, "failed"),
    ]
    assert (listed[0]["looks_stale"], listed[0]["children"]) == (True, 7)


async def test_roots_are_chosen_by_flags_and_by_their_variables(
    shell: Shell, stored: StoredJobs
) -> None:
    ids = [
        await stored.ended_root(f"mail.{end}", end) for end in (JobStatus.FAILED, JobStatus.SUCCESS)
    ]
    waiting = (await stored.root("search")).id
    await stored.quiet(waiting)

    async def listed(*words: str, **variables: str) -> list[int]:
        return [
            root["id"] for root in (await shell("jobs", "list", "--json", *words, **variables)).json
        ]

    assert await listed("--status", "failed", "--status", "new") == [waiting, ids[0]]
    assert await listed("--name", "mail.") == ids[::-1]
    assert await listed("--stale") == [waiting]
    assert await listed("--limit", "1", "--before", str(waiting)) == [ids[1]]
    assert await listed(MQJOBS_FLAG_JOBS_LIST_NAME="mail.", MQJOBS_FLAG_JOBS_LIST_LIMIT="1") == [
        ids[1]
    ]
    more = await shell("jobs", "list", "--limit", "2")
    assert more.out.splitlines()[-1] == f"there may be more: --before {ids[1]}"


async def test_nothing_is_listed_as_nothing(shell: Shell) -> None:
    assert (await shell("jobs", "list")).out == "no root jobs\n"
    assert (await shell("jobs", "list", "--json")).json == []


async def test_the_stale_times_of_the_settings_hold(shell: Shell, stored: StoredJobs) -> None:
    await stored.quiet((await stored.root("search")).id)
    never = '{"search": -1}'
    assert (
        await shell("jobs", "list", "--stale", MQJOBS_TIME_BEFORE_STALE=never)
    ).out == "no root jobs\n"


async def test_a_job_is_shown_with_all_that_is_known_of_it(
    shell: Shell, stored: StoredJobs
) -> None:
    ids = await split_root(stored)

    root = (await shell("jobs", "show", str(ids["root"]))).out
    assert "unique root job" in root
    assert "7: 5 open, 1 failed, 1 success" in root
    assert re.search(r"progress +28\.57%\n", root)
    fresh = (await shell("jobs", "show", str((await stored.root("fresh")).id))).out
    assert re.search(r"progress +0%\n", fresh)
    assert 'failed     no    {"a": 1}' in root.replace("failed     no", "failed     no")
    child = (await shell("jobs", "show", str(ids["broken"]))).out
    assert f"delayed child of root job {ids['root']}" in child
    assert "ValueError: [bold]no[/bold] rate" in child, "it is text, and no markup"

    shown = (await shell("jobs", "show", str(ids["root"]), "--json")).json
    assert (shown["job"]["id"], shown["job"]["children_failed"]) == (ids["root"], 1)
    [dependent] = shown["dependents"]
    assert (dependent["on"], dependent["envelope"]["body"]) == ("failed", {"a": 1})


async def test_children_are_listed_by_status_a_page_at_a_time(
    shell: Shell, stored: StoredJobs
) -> None:
    ids = await split_root(stored)
    words = ("jobs", "children", str(ids["root"]), "--status", "new", "--limit", "3")

    ran = await shell(*words)
    assert ran.out.splitlines()[-1] == f"there may be more: --after {ids['c']}"
    rest = await shell(*words, "--after", str(ids["c"]), "--json")
    assert [child["name"] for child in rest.json] == ["d"]
    failed = await shell("jobs", "children", str(ids["root"]), "--status", "failed")
    assert failed.out.splitlines()[-1].endswith("ValueError: [bold]no[/bold] rate")


async def test_a_tree_has_the_counts_of_all_and_few_of_each_status(
    shell: Shell, stored: StoredJobs
) -> None:
    ids = await split_root(stored)

    drawn = (await shell("jobs", "tree", str(ids["root"]), "--each", "2")).out.splitlines()

    assert drawn[0].startswith(f"{ids['root']} reindex:spring  running  29%")
    assert drawn[1:4:2] == ["├── running 1", "├── new 4"]
    assert drawn[2].startswith(f"│   └── {ids['own']} reindex:spring  own child")
    assert drawn[4:9] == [
        f"│   ├── {ids['a']} a",
        f"│   ├── {ids['b']} b",
        "│   └── … 2 more",
        "├── failed 1",
        drawn[8],
    ]
    assert drawn[8].endswith("ValueError: [bold]no[/bold] rate")
    assert drawn[9] == "└── success 1"

    tree = (await shell("jobs", "tree", str(ids["root"]), "--each", "0", "--json")).json
    assert tree["root"]["id"] == ids["root"]
    assert [(each["status"], each["count"], each["children"]) for each in tree["children"]] == [
        ("running", 1, []),
        ("new", 4, []),
        ("failed", 1, []),
        ("success", 1, []),
    ]
    of_child = await shell("jobs", "tree", str(ids["a"]))
    assert (of_child.code, of_child.out) == (1, "")
    assert of_child.err == f"Error: job {ids['a']} is a child: mqjobs jobs tree {ids['root']}\n"


async def test_a_job_that_is_not_there_and_an_id_that_is_none(shell: Shell) -> None:
    for command in ("show", "tree", "children", "retry", "interrupt"):
        ran = await shell("jobs", command, "4711")
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("Error: there is no job 4711")
        ran = await shell("jobs", command, "spring")
        assert (ran.code, ran.out) == (2, "")
        assert "'spring' is not an id" in ran.err


async def test_an_interrupt_is_not_done_without_being_asked(
    shell: Shell, stored: StoredJobs
) -> None:
    ids = await split_root(stored)

    ran = await shell("jobs", "interrupt", str(ids["root"]))
    assert (ran.code, ran.out) == (1, "")
    assert "Interrupt root job" in ran.err
    assert "--yes" in ran.err
    assert await stored.status(ids["a"]) is JobStatus.NEW

    ran = await shell("jobs", "interrupt", str(ids["root"]), "--yes")
    assert ran.out.startswith(f"job {ids['root']} is interrupted, and will be cancelled when")
    assert await stored.status(ids["a"]) is JobStatus.CANCELLED

    single = await stored.root("single")
    ran = await shell("jobs", "interrupt", str(single.id), MQJOBS_FLAG_JOBS_INTERRUPT_YES="1")
    assert ran.out == f"job {single.id} is cancelled\n"
    ran = await shell("jobs", "interrupt", str(single.id))
    assert (ran.code, ran.out) == (0, f"job {single.id} had ended before: nothing has changed\n")


async def test_a_retry_says_how_many_are_new_again(shell: Shell, stored: StoredJobs) -> None:
    root_id = await stored.ended_root("work", JobStatus.FAILED)
    ran = await shell("jobs", "retry", str(root_id))
    assert (ran.code, ran.out) == (0, "1 job is new again, and on the way\n")
    ran = await shell("jobs", "retry", str(root_id))
    assert (ran.code, ran.out) == (1, "")
    assert "no failed children" in ran.err


async def test_cleaning_up_counts_then_asks_then_removes(shell: Shell, stored: StoredJobs) -> None:
    root_id = await stored.ended_root("work", JobStatus.SUCCESS, ["a", "b"])
    words = ("jobs", "cleanup", "--success-after", "0")

    counted = (await shell(*words, "--dry-run")).out
    assert ["success", "1", "3"] in [line.split() for line in counted.splitlines()]
    assert "nothing was removed" in counted
    asked = await shell(*words)
    assert (asked.code, asked.out) == (1, "")
    assert "Remove 1 root jobs with 3 children?" in asked.err
    assert await stored.status(root_id) is JobStatus.SUCCESS

    kept = await shell("jobs", "cleanup", "--yes")
    assert kept.out == "removed 0 root jobs, 0 children, 0 dependent messages\n"
    removed = await shell(*words, "--yes")
    assert removed.out == "removed 1 root jobs, 3 children, 0 dependent messages\n"
    assert await stored.status(root_id) is None


async def test_cleaning_up_goes_by_the_settings_unless_a_flag_says_otherwise(
    shell: Shell, stored: StoredJobs
) -> None:
    await stored.ended_root("good", JobStatus.SUCCESS)
    await stored.ended_root("bad", JobStatus.FAILED)
    await stored.connection.execute(
        "UPDATE mqjobs.job SET stopped_at = now() - interval '2 h' WHERE stopped_at IS NOT NULL"
    )
    dry = ("jobs", "cleanup", "--dry-run")

    hours = {"MQJOBS_KEEP_SUCCESS": "3600", "MQJOBS_KEEP_OTHERS": "0"}
    counted = [line.split() for line in (await shell(*dry, **hours)).out.splitlines()]
    assert ["success", "1", "1"] in counted
    assert not any("failed" in line for line in counted)

    counted = [
        line.split()
        for line in (await shell(*dry, "--others-after", "0", **hours)).out.splitlines()
    ]
    assert ["failed", "1", "1"] in counted
    unset = [line.split() for line in (await shell(*dry)).out.splitlines()]
    assert ["success", "0", "0"] in unset
