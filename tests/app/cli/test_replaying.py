import asyncio
import os
import signal

from mqjobs.model.status import JobStatus
from mqjobs.store.messages import envelope_of
from tests.support.envelopes import an_envelope
from tests.support.shell import DEADLINE, Shell, wrote
from tests.support.stored_jobs import TOPIC, StoredJobs
from tests.support.waiting import eventually


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
    return [
        letter["id"] for letter in (await shell("dead", "list", "--json", "--limit", "99")).json
    ]


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


async def test_all_of_a_kind_are_replayed_and_counted(shell: Shell, stored: StoredJobs) -> None:
    letters = [await stored.bury(an_envelope(topic)) for topic in ("a", "b", "a", "c")]
    failed, child = await failed_child(stored)

    asked = await shell("dead", "replay", "--topic", "a")
    assert (asked.code, asked.out) == (1, "")
    assert "Send all 2 dead letters of topic a again?" in asked.err
    replayed = await shell("dead", "replay", "--topic", "a", "--yes")
    assert (replayed.code, replayed.out, replayed.err) == (0, "replayed 2 dead letters\n", "")
    assert await left(shell) == [failed, letters[3], letters[1]]

    rest = await shell("dead", "replay", "--all", "--yes")
    assert rest.out == "replayed 3 dead letters, 1 jobs retried\n"
    assert await stored.status(child) is JobStatus.NEW
    nothing = await shell("dead", "replay", "--all", "--yes")
    assert (nothing.code, nothing.out) == (0, "replayed 0 dead letters\n")


async def test_the_oldest_go_first_and_no_more_than_the_limit(
    shell: Shell, stored: StoredJobs
) -> None:
    letters = [await stored.bury(an_envelope(TOPIC, body=b"%d" % number)) for number in range(4)]

    replayed = await shell("dead", "replay", "--reason", "failed", "--limit", "3", "--yes")

    assert replayed.out == "replayed 3 dead letters\n"
    assert await left(shell) == [letters[3]]


async def test_what_is_refused_among_many_is_told_and_stays(
    shell: Shell, stored: StoredJobs
) -> None:
    lost = [await stored.bury(an_envelope(TOPIC, job_id=4711)) for _ in range(21)]
    await stored.bury(an_envelope(TOPIC))

    ran = await shell("dead", "replay", "--all", "--yes")

    assert (ran.code, ran.out) == (1, "replayed 1 dead letter\n")
    *told, more = ran.err.splitlines()
    assert (len(told), more) == (20, "… and 1 more")
    assert await left(shell) == lost[::-1]


async def test_an_interrupted_replay_says_how_far_it_came_and_keeps_what_it_did(
    shell: Shell, stored: StoredJobs
) -> None:
    letters = [await stored.bury(an_envelope(TOPIC)) for _ in range(3)]
    async with stored.connection.transaction():
        await stored.connection.execute(
            "SELECT FROM mqjobs.message WHERE id = $1 FOR UPDATE", letters[1]
        )
        process = await shell.start(["dead", "replay", "--all", "--yes"], {})
        await eventually(lambda: waits_for_a_lock(stored))
        process.send_signal(signal.SIGINT)
        await wrote(process, "stopping after this one")
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()

    assert process.returncode == 130
    assert out.decode() == "replayed 2 dead letters\n"
    assert err.decode() == "Error: stopped: 2 of 3 replayed, 1 not come to\n"
    assert await left(shell) == [letters[2]]


async def waits_for_a_lock(stored: StoredJobs) -> bool:
    return bool(
        await stored.connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    )


async def test_a_terminal_shows_a_bar(shell: Shell, stored: StoredJobs) -> None:
    for _ in range(3):
        await stored.bury(an_envelope(TOPIC))
    terminal, its_side = os.openpty()
    process = await shell.start(["dead", "replay", "--all", "--yes"], {}, stderr=its_side)
    async with asyncio.timeout(DEADLINE):
        out, _ = await process.communicate()
    os.close(its_side)

    assert out.decode() == "replayed 3 dead letters\n"
    assert "replaying" in os.read(terminal, 65536).decode()
    os.close(terminal)
