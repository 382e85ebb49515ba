from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from mqjobs.model.errors import MessageError, RetryRefused
from mqjobs.model.status import JobStatus
from mqjobs.processing.dead_letters import DeadLetters
from tests.support.envelopes import an_envelope
from tests.support.stored_jobs import QUEUE, TOPIC, StoredJobs, connected
from tests.support.stored_services import Wakes, services_on


@dataclass
class Office:
    """An operator's view, and the hand that makes what there is to see."""

    dead: DeadLetters
    stored: StoredJobs
    wakes: Wakes


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    wakes = Wakes()
    async with services_on(database_url, wakes) as services, connected(database_url) as connection:
        yield Office(DeadLetters(services), StoredJobs(connection), wakes)


async def test_dead_letters_are_listed_shown_and_dropped(office: Office) -> None:
    first = await office.stored.bury(an_envelope(TOPIC), "invalid", "field a: missing")
    second = await office.stored.bury(an_envelope("other", queue="mail"), "failed")

    assert [each.id for each in await office.dead.list()] == [second, first]
    assert [each.id for each in await office.dead.list(queue="mail", reason="failed")] == [second]
    assert [each.id for each in await office.dead.list(before=second, limit=5)] == [first]
    assert (await office.dead.get(first)).detail == "field a: missing"
    assert await office.dead.drop(first, 4711) == 1
    with pytest.raises(MessageError, match=f"no dead letter {first}"):
        await office.dead.get(first)


async def test_a_replay_wakes_those_who_carry_messages(office: Office) -> None:
    envelope = an_envelope(TOPIC)
    letter = await office.stored.bury(envelope)

    replayed = await office.dead.replay(letter)

    assert replayed.message_id == envelope.id
    assert office.wakes.count == 1
    queue = await office.stored.connection.fetchval(
        "SELECT queue FROM mqjobs.message WHERE dead_at IS NULL"
    )
    assert queue == QUEUE


async def test_a_new_root_takes_a_name_over_only_as_the_stale_times_allow(office: Office) -> None:
    letters = {}
    for name in ("impatient", "patient"):
        envelope = an_envelope(TOPIC)
        await office.stored.cancelled_root(name, envelope)
        letters[name] = await office.stored.bury(envelope)
        in_the_way = await office.stored.root(name)
        await office.stored.quiet(in_the_way.id)

    replayed = await office.dead.replay(letters["impatient"])
    assert await office.stored.status(replayed.created[0]) is JobStatus.NEW
    with pytest.raises(RetryRefused, match="has the name 'patient'"):
        await office.dead.replay(letters["patient"])
