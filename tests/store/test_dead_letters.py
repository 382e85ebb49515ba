import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mqjobs.model.errors import MessageError, RetryRefused
from mqjobs.model.message import Envelope
from mqjobs.model.status import JobStatus
from mqjobs.store import dead_letters, outbox
from mqjobs.store.database import Connection
from mqjobs.store.dead_letters import LettersWanted, Replayed
from mqjobs.store.interrupts import cancel_if_new, interrupt
from mqjobs.store.messages import (
    DeadLetter,
    envelope_of,
    insert_dead_letters,
    insert_messages,
)
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import QUEUE, TOPIC, StoredJobs, connected


@pytest.fixture
async def stored(database_url: str) -> AsyncIterator[StoredJobs]:
    async with connected(database_url) as connection:
        yield StoredJobs(connection)


def stale_after(name: str) -> timedelta | None:
    return timedelta(minutes=30)


async def replay(connection: Connection, letter_id: int) -> Replayed:
    async with connection.transaction():
        return await dead_letters.replay(connection, letter_id, stale_after)


async def live(stored: StoredJobs) -> list[Envelope]:
    """The messages on their way."""
    rows = await stored.connection.fetch(
        "SELECT * FROM mqjobs.message WHERE dead_at IS NULL AND available_at <= now() ORDER BY id"
    )
    return [envelope_of(row) for row in rows]


async def letters(stored: StoredJobs) -> list[int]:
    return [
        letter.id for letter in await dead_letters.dead_letters(stored.connection, LettersWanted())
    ]


async def letter_of_failed_root(stored: StoredJobs) -> tuple[int, int, int]:
    """A root whose own child failed, so that its message was rejected: letter, root, own child."""
    envelope = an_envelope(TOPIC)
    root = await stored.root("work", envelope)
    await stored.end(await stored.run(root.own_child_id), JobStatus.FAILED, "it broke")
    await stored.empty_outbox()
    return await stored.bury(envelope), root.id, root.own_child_id


async def letter_of_child(stored: StoredJobs, status: JobStatus) -> tuple[int, int, int]:
    """A delayed child in this status and its message as a dead letter: letter, root, child."""
    root = await stored.root("work")
    own = await stored.run(root.own_child_id)
    [child] = await stored.children(own, "part")
    await stored.end(own, JobStatus.SUCCESS)
    if status is not JobStatus.NEW:
        job = await stored.run(child)
        if status is not JobStatus.RUNNING:
            await stored.end(job, status)
    row = await stored.connection.fetchrow(
        "DELETE FROM mqjobs.message WHERE job_id = $1 RETURNING *", child
    )
    assert row is not None
    await stored.empty_outbox()
    return await stored.bury(envelope_of(row)), root.id, child


async def letter_of_unread_message(stored: StoredJobs) -> tuple[int, int, Envelope]:
    """The message of a job-aware topic that nobody could read: letter, its cancelled root, message."""
    envelope = an_envelope(TOPIC, body=b'{"of": "interest"}', headers={"tenant": "7"}, attempt=3)
    letter = await stored.bury(envelope, "invalid")
    root_id = await stored.cancelled_root("work", envelope)
    await stored.empty_outbox()
    return letter, root_id, envelope


async def test_dead_letters_come_newest_first_by_topic_queue_and_reason(
    stored: StoredJobs,
) -> None:
    a = await stored.bury(an_envelope("a", queue="one"), "invalid")
    b = await stored.bury(an_envelope("b", queue="one"), "failed")
    c = await stored.bury(an_envelope("b", queue="two"), "failed", "boom")

    async def ids(wanted: LettersWanted) -> list[int]:
        return [each.id for each in await dead_letters.dead_letters(stored.connection, wanted)]

    assert await ids(LettersWanted()) == [c, b, a]
    assert await ids(LettersWanted(topic="b")) == [c, b]
    assert await ids(LettersWanted(queue="one")) == [b, a]
    assert await ids(LettersWanted(reason="invalid")) == [a]
    assert await ids(LettersWanted(limit=2)) == [c, b]
    assert await ids(LettersWanted(limit=2, before=b)) == [a]
    letter = await dead_letters.dead_letter(stored.connection, c)
    assert (letter.envelope.topic, letter.reason, letter.detail) == ("b", "failed", "boom")


async def test_a_letter_that_is_not_there_is_an_error(stored: StoredJobs) -> None:
    for letter_id in (-1, 4711, 2**64):
        with pytest.raises(MessageError, match=f"no dead letter {letter_id}"):
            await dead_letters.dead_letter(stored.connection, letter_id)
        with pytest.raises(MessageError, match=f"no dead letter {letter_id}"):
            await replay(stored.connection, letter_id)


async def test_a_replayed_message_is_in_its_queue_as_at_its_first_attempt(
    stored: StoredJobs,
) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    envelope = an_envelope(TOPIC, queue="other", attempt=4, expires_at=past, headers={"a": "b"})
    letter = await stored.bury(envelope)

    replayed = await replay(stored.connection, letter)

    [sent] = await live(stored)
    assert replayed == Replayed(envelope.id)
    assert (sent.id, sent.queue, sent.attempt) == (envelope.id, "other", 1)
    assert sent.headers == {"a": "b"}
    assert sent.expires_at is None, "an expiry that is over would be the end of it again"
    assert await letters(stored) == []


async def test_an_expiry_to_come_is_kept(stored: StoredJobs) -> None:
    expiry = datetime.now(UTC) + timedelta(hours=1)
    letter = await stored.bury(an_envelope(TOPIC, expires_at=expiry))
    await replay(stored.connection, letter)
    [sent] = await live(stored)
    assert sent.expires_at == expiry


async def test_a_replayed_message_without_a_queue_is_for_the_relay_to_route(
    stored: StoredJobs,
) -> None:
    letter = DeadLetter(an_envelope("nobody.took.it"), "unroutable", "no queue")
    await insert_dead_letters(stored.connection, [letter])
    [letter_id] = await letters(stored)

    await replay(stored.connection, letter_id)

    [(row_id, _)] = await outbox.due(stored.connection, 10, only_unrouted=True)
    assert row_id == letter_id


async def test_a_failed_child_really_runs_when_its_letter_is_replayed(stored: StoredJobs) -> None:
    letter, root, child = await letter_of_child(stored, JobStatus.FAILED)
    assert await stored.status(root) is JobStatus.FAILED

    replayed = await replay(stored.connection, letter)

    assert list(replayed.retried) == [child]
    [sent] = await live(stored)
    assert (sent.job_id, sent.id, sent.queue) == (child, replayed.message_id, QUEUE)
    assert await letters(stored) == []
    assert await stored.status(root) is JobStatus.RUNNING
    await stored.end(await stored.run(child), JobStatus.SUCCESS)
    assert await stored.status(root) is JobStatus.SUCCESS


async def test_a_child_whose_message_expired_is_not_held_to_that_time_again(
    stored: StoredJobs,
) -> None:
    letter, _, child = await letter_of_child(stored, JobStatus.FAILED)
    await stored.connection.execute(
        "UPDATE mqjobs.job SET expires_at = now() - interval '1 hour' WHERE id = $1", child
    )
    await replay(stored.connection, letter)
    [sent] = await live(stored)
    assert sent.expires_at is None


async def test_a_cancelled_child_really_runs_when_its_letter_is_replayed(
    stored: StoredJobs,
) -> None:
    letter, root, child = await letter_of_child(stored, JobStatus.NEW)
    async with stored.connection.transaction():
        await interrupt(stored.connection, root)
    assert await stored.status(root) is JobStatus.CANCELLED

    replayed = await replay(stored.connection, letter)

    assert list(replayed.retried) == [child]
    await stored.end(await stored.run(child), JobStatus.SUCCESS)
    assert await stored.status(root) is JobStatus.SUCCESS


@pytest.mark.parametrize("status", [JobStatus.NEW, JobStatus.RUNNING, JobStatus.SUCCESS])
async def test_a_child_that_has_not_failed_is_left_as_it_is(
    stored: StoredJobs, status: JobStatus
) -> None:
    letter, root, child = await letter_of_child(stored, status)
    root_status = await stored.status(root)

    replayed = await replay(stored.connection, letter)

    assert replayed == Replayed(replayed.message_id)
    [sent] = await live(stored)
    assert sent.job_id == child
    assert (await stored.status(child), await stored.status(root)) == (status, root_status)


async def test_the_letter_of_a_child_that_was_cleaned_up_cannot_be_replayed(
    stored: StoredJobs,
) -> None:
    letter, root, child = await letter_of_child(stored, JobStatus.FAILED)
    await stored.connection.execute("DELETE FROM mqjobs.job WHERE $1 IN (id, root_id)", root)

    with pytest.raises(RetryRefused, match=f"job {child}, which was cleaned up"):
        await replay(stored.connection, letter)

    assert (await letters(stored), await live(stored)) == ([letter], [])


async def test_the_letter_of_a_child_of_a_stale_root_cannot_be_replayed(
    stored: StoredJobs,
) -> None:
    letter, root, child = await letter_of_child(stored, JobStatus.NEW)
    await stored.quiet(root)
    newer = await stored.stale_takeover("work")
    await stored.empty_outbox()

    with pytest.raises(RetryRefused, match=f"job {child} of a stale root job"):
        await replay(stored.connection, letter)

    assert (await letters(stored), await live(stored)) == ([letter], [])
    assert await stored.status(newer) is JobStatus.NEW


async def test_a_root_that_failed_under_its_message_runs_again(stored: StoredJobs) -> None:
    letter, root, own = await letter_of_failed_root(stored)

    replayed = await replay(stored.connection, letter)

    assert list(replayed.retried) == [own]
    [sent] = await live(stored)
    assert (sent.id, sent.job_id) == (replayed.message_id, None)
    assert await stored.status(root) is JobStatus.RUNNING
    await stored.end(await stored.run(own), JobStatus.SUCCESS)
    assert await stored.status(root) is JobStatus.SUCCESS
    assert await letters(stored) == []


async def test_a_root_whose_name_is_taken_cannot_run_again(stored: StoredJobs) -> None:
    letter, root, _ = await letter_of_failed_root(stored)
    await stored.root("work")
    await stored.empty_outbox()

    with pytest.raises(RetryRefused, match=r"while root job \d+ has the name 'work'"):
        await replay(stored.connection, letter)

    assert (await letters(stored), await live(stored)) == ([letter], [])
    assert await stored.status(root) is JobStatus.FAILED


async def test_a_message_whose_root_was_cancelled_unstarted_gets_a_new_root(
    stored: StoredJobs,
) -> None:
    letter, old_root, envelope = await letter_of_unread_message(stored)

    replayed = await replay(stored.connection, letter)

    [new_root] = replayed.created
    assert replayed.message_id != envelope.id
    assert await stored.status(old_root) is JobStatus.CANCELLED
    assert await stored.status(new_root) is JobStatus.NEW
    [sent] = await live(stored)
    assert (sent.id, sent.queue, sent.attempt) == (replayed.message_id, QUEUE, 1)
    assert (sent.body, sent.headers) == (envelope.body, envelope.headers)
    own = await stored.connection.fetchrow(
        "SELECT id, body FROM mqjobs.job WHERE root_id = $1", new_root
    )
    assert own is not None
    assert own["body"] == envelope.body, "a retry of it sends the same message"
    await stored.end(await stored.run(own["id"]), JobStatus.SUCCESS)
    assert await stored.status(new_root) is JobStatus.SUCCESS


async def test_a_message_that_dies_unread_again_does_not_block_its_name(
    stored: StoredJobs,
) -> None:
    letter, *_ = await letter_of_unread_message(stored)
    replayed = await replay(stored.connection, letter)

    async with stored.connection.transaction():
        await cancel_if_new(stored.connection, str(replayed.message_id))

    assert await stored.status(replayed.created[0]) is JobStatus.CANCELLED
    await stored.root("work")


async def test_a_message_whose_name_is_taken_gets_no_new_root(stored: StoredJobs) -> None:
    letter, old_root, envelope = await letter_of_unread_message(stored)
    taken_by = await stored.root("work")
    await stored.empty_outbox()

    with pytest.raises(RetryRefused, match=f"root job {taken_by.id} has the name 'work'"):
        await replay(stored.connection, letter)

    assert (await letters(stored), await live(stored)) == ([letter], [])
    assert await stored.status(old_root) is JobStatus.CANCELLED
    assert (await dead_letters.dead_letter(stored.connection, letter)).envelope.id == envelope.id


async def test_a_message_whose_root_is_stale_gets_a_new_root(stored: StoredJobs) -> None:
    envelope = an_envelope(TOPIC)
    stale = await stored.root("work", envelope)
    await stored.quiet(stale.id)
    newer = await stored.stale_takeover("work")
    letter = await stored.bury(envelope, "rejected", "the job is stale")
    await stored.empty_outbox()

    with pytest.raises(RetryRefused, match=f"root job {newer} has the name"):
        await replay(stored.connection, letter)
    async with stored.connection.transaction():
        await interrupt(stored.connection, newer)
    replayed = await replay(stored.connection, letter)

    [new_root] = replayed.created
    assert await stored.status(new_root) is JobStatus.NEW
    assert await stored.status(stale.id) is JobStatus.STALE
    [sent] = await live(stored)
    assert sent.id == replayed.message_id


async def test_a_quiet_root_in_the_way_of_a_replay_becomes_stale(stored: StoredJobs) -> None:
    letter, *_ = await letter_of_unread_message(stored)
    in_the_way = await stored.root("work")
    await stored.quiet(in_the_way.id)

    replayed = await replay(stored.connection, letter)

    assert await stored.status(in_the_way.id) is JobStatus.STALE
    assert await stored.status(replayed.created[0]) is JobStatus.NEW


async def test_a_root_that_still_waits_for_its_message_keeps_it(stored: StoredJobs) -> None:
    envelope = an_envelope(TOPIC)
    root = await stored.root("work", envelope)
    letter = await stored.bury(envelope)
    await stored.empty_outbox()

    assert await replay(stored.connection, letter) == Replayed(envelope.id)

    assert await stored.status(root.id) is JobStatus.NEW
    assert [sent.id for sent in await live(stored)] == [envelope.id]


async def test_two_who_replay_one_letter_send_one_message(
    stored: StoredJobs, database_url: str
) -> None:
    letter, _, child = await letter_of_child(stored, JobStatus.FAILED)

    async def attempt() -> None:
        async with connected(database_url) as connection:
            await replay(connection, letter)

    outcomes: list[Exception | None] = []

    async def tell() -> None:
        try:
            await attempt()
            outcomes.append(None)
        except MessageError as error:
            outcomes.append(error)

    async with asyncio.TaskGroup() as group:
        group.create_task(tell())
        group.create_task(tell())

    assert sorted(outcome is None for outcome in outcomes) == [False, True]
    assert [sent.job_id for sent in await live(stored)] == [child]


async def test_dropping_takes_dead_letters_alone(stored: StoredJobs) -> None:
    await stored.root()
    first, second = [await stored.bury(an_envelope(TOPIC)) for _ in range(2)]
    await replay(stored.connection, second)

    assert await dead_letters.drop(stored.connection, [first, second, 4711]) == 1

    assert await letters(stored) == []
    assert len(await live(stored)) == 1


async def test_a_message_that_dies_again_has_one_letter_with_the_last_reason(
    stored: StoredJobs,
) -> None:
    envelope, other = an_envelope(TOPIC), an_envelope(TOPIC)
    await stored.bury(envelope, "failed", "the first time")
    await stored.bury(replace(envelope, queue="elsewhere"), "failed", "for another queue")
    await stored.bury(replace(envelope, job_id=7), "failed", "for a child")
    await stored.bury(other, "failed", "another message")

    await stored.bury(envelope, "rejected", "the second time")

    found = await dead_letters.dead_letters(stored.connection, LettersWanted())
    assert [letter.detail for letter in found] == [
        "the second time",
        "another message",
        "for a child",
        "for another queue",
    ]


async def test_a_letter_whose_root_was_cleaned_up_is_sent_once_more_with_a_new_root(
    stored: StoredJobs,
) -> None:
    envelope = an_envelope(TOPIC)
    root = await stored.root("work", envelope)
    await stored.end(await stored.run(root.own_child_id), JobStatus.FAILED, "it broke")
    await stored.empty_outbox()
    letter_id = await stored.bury(envelope)
    await stored.connection.execute("DELETE FROM mqjobs.job")

    replayed = await replay(stored.connection, letter_id)

    [message] = await live(stored)
    assert message.id == replayed.message_id != envelope.id
    [created] = replayed.created
    row = await stored.connection.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", created)
    assert row is not None
    assert (row["name"], row["owner_id"], row["status"]) == ("work", str(message.id), "new")


async def test_a_letter_of_the_relays_is_sent_once_more_with_a_new_root_too(
    stored: StoredJobs,
) -> None:
    envelope = an_envelope(TOPIC)
    await stored.root("work", envelope)
    await insert_messages(stored.connection, [envelope])
    ids = [row["id"] for row in await stored.connection.fetch("SELECT id FROM mqjobs.message")]
    await outbox.make_dead(stored.connection, ids, reason="unroutable", detail="no queue")
    await stored.connection.execute("DELETE FROM mqjobs.job")

    assert len((await replay(stored.connection, ids[0])).created) == 1
