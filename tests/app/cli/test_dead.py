import pytest

from mqjobs.model.status import JobStatus
from mqjobs.store.messages import envelope_of
from tests.support.envelopes import an_envelope
from tests.support.shell import Shell
from tests.support.stored_jobs import TOPIC, StoredJobs


async def failed_child(stored: StoredJobs) -> tuple[int, int]:
    """A delayed child that failed under its message, and the dead letter of that."""
    root = await stored.root()
    own = await stored.run(root.own_child_id)
    [child] = await stored.children(own, "part")
    await stored.end(own, JobStatus.SUCCESS)
    await stored.end(await stored.run(child), JobStatus.FAILED)
    row = await stored.connection.fetchrow("SELECT * FROM mqjobs.message WHERE job_id = $1", child)
    assert row is not None
    await stored.empty_outbox()
    return await stored.bury(envelope_of(row)), child


async def left(shell: Shell) -> list[int]:
    return [letter["id"] for letter in (await shell("dead", "list", "--json")).json]


async def test_dead_letters_are_listed_and_shown(shell: Shell, stored: StoredJobs) -> None:
    envelope = an_envelope("shop.price", body=b'{"amount": "a"}', headers={"tenant": "7"})
    first = await stored.bury(envelope, "invalid", "field amount: a number was expected")
    detail = "Traceback (most recent call last):\n  …\nValueError: no rate"
    second = await stored.bury(an_envelope("shop.told", queue="other"), "failed", detail)

    heading, *lines = (await shell("dead", "list")).out.splitlines()
    assert heading.split() == ["ID", "TOPIC", "QUEUE", "REASON", "DIED", "JOB", "DETAIL"]
    assert [line.split()[:4] for line in lines] == [
        [str(second), "shop.told", "other", "failed"],
        [str(first), "shop.price", "tests", "invalid"],
    ]
    assert lines[0].endswith("ValueError: no rate")
    more = (await shell("dead", "list", "--limit", "1")).out
    assert more.splitlines()[-1] == f"there may be more: --before {second}"
    chosen = await shell("dead", "list", "--json", "--topic", "shop.price", "--before", str(second))
    [letter] = chosen.json
    assert (letter["id"], letter["envelope"]["body"]) == (first, {"amount": "a"})
    assert letter["envelope"]["id"] == str(envelope.id)

    shown = (await shell("dead", "show", str(first))).out
    for text in ("shop.price", "tenant: 7", '{"amount": "a"}', "field amount: a number was"):
        assert text in shown
    assert (await shell("dead", "show", str(first), "--json")).json == letter


async def test_no_dead_letters_are_nothing(shell: Shell) -> None:
    assert (await shell("dead", "list")).out == "no dead letters\n"
    assert (await shell("dead", "list", "--json")).json == []


async def test_a_replay_says_what_runs_again(shell: Shell, stored: StoredJobs) -> None:
    letter, child = await failed_child(stored)
    ran = await shell("dead", "replay", str(letter))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith(f" is on its way, and job {child} new again\n")
    assert await stored.status(child) is JobStatus.NEW
    assert await left(shell) == []


async def test_a_replay_with_a_new_root_names_it(shell: Shell, stored: StoredJobs) -> None:
    envelope = an_envelope(TOPIC)
    await stored.cancelled_root("work", envelope)
    letter = await stored.bury(envelope, "invalid")
    ran = await shell("dead", "replay", str(letter))
    root_id = await stored.connection.fetchval(
        "SELECT max(id) FROM mqjobs.job WHERE root_id IS NULL"
    )
    assert ran.out.startswith(f"{letter}: sent once more as message ")
    assert ran.out.endswith(f", with new root job {root_id}\n")


async def test_a_replay_that_is_refused_does_not_stop_the_others(
    shell: Shell, stored: StoredJobs
) -> None:
    lost = await stored.bury(an_envelope(TOPIC, job_id=4711))
    fine = await stored.bury(an_envelope(TOPIC))

    ran = await shell("dead", "replay", str(lost), "815", str(fine))

    assert ran.code == 1
    assert ran.out.startswith(f"{fine}: message ")
    first, second = ran.err.splitlines()
    assert first.startswith(f"Error: dead letter {lost} belongs to job 4711, which was cleaned up")
    assert second.startswith("there is no dead letter 815")
    assert await left(shell) == [lost]


async def test_all_that_are_chosen_are_replayed_or_dropped(
    shell: Shell, stored: StoredJobs
) -> None:
    letters = [await stored.bury(an_envelope(topic)) for topic in ("a", "b", "a", "c")]

    asked = await shell("dead", "replay", "--all", "--topic", "a")
    assert (asked.code, asked.out) == (1, "")
    assert "Send all dead letters of topic a again?" in asked.err
    replayed = await shell("dead", "replay", "--all", "--topic", "a", "--yes")
    assert (replayed.code, replayed.out.count("is on its way")) == (0, 2)
    assert await left(shell) == [letters[3], letters[1]]

    asked = await shell("dead", "drop", "--all")
    assert (asked.code, asked.out) == (1, "")
    assert "Throw all dead letters away?" in asked.err
    dropped = await shell("dead", "drop", "--all", "--reason", "failed", "--yes")
    assert dropped.out == "dropped 2 dead letters\n"
    assert await left(shell) == []


async def test_dropping_some_that_are_not_there_says_so(shell: Shell, stored: StoredJobs) -> None:
    letter = await stored.bury(an_envelope(TOPIC))
    ran = await shell("dead", "drop", str(letter), str(letter), "815", "--yes")
    assert (ran.code, ran.out) == (1, "dropped 1 dead letter\n")
    assert ran.err.startswith("Error: 1 of these ids are no dead letters")


@pytest.mark.parametrize("command", ["replay", "drop"])
async def test_what_is_meant_has_to_be_said(shell: Shell, command: str) -> None:
    for words in ([], ["1", "--all"], ["1", "--topic", "a"]):
        ran = await shell("dead", command, *words)
        assert (ran.code, ran.out) == (2, "")
        assert "--all" in ran.err
