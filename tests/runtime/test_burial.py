"""Dead letters: kept with their reason, and the jobs that waited for them have ended."""

from datetime import UTC, datetime, timedelta

from mqjobs.model.message import Envelope, Outgoing
from mqjobs.model.status import JobStatus
from mqjobs.runtime.burial import bare, bury, close_unrun_jobs, fail_unrun_child
from tests.support.envelopes import an_envelope
from tests.support.surroundings import Surroundings
from tests.support.topics import Note, Piece, Work


async def a_child(around: Surroundings) -> tuple[int, Envelope]:
    """A new delayed child, and its message."""
    async with around.splitting() as runner:
        child = await runner.create_delayed("one", Outgoing(Piece(), delay=3600))
    return child.id, an_envelope("tests.piece", job_id=child.id, queue="default")


async def test_a_dead_letter_is_kept_with_its_reason(around: Surroundings) -> None:
    envelope = an_envelope("tests.note", queue="default", body=b"{not json")

    await bury(around.services, envelope, "invalid", "it is no JSON")

    [letter] = await around.dead_letters()
    assert letter["message_id"] == envelope.id
    assert letter["body"] == b"{not json"
    assert (letter["dead_reason"], letter["dead_detail"]) == ("invalid", "it is no JSON")


async def test_a_root_that_the_letter_was_to_start_is_cancelled(around: Surroundings) -> None:
    sent = await around.producer.send(Work())
    envelope = an_envelope("tests.work", id=sent.message_id)

    await bury(around.services, envelope, "invalid", "it is no JSON")

    assert (await around.job(sent.job_id)).status is JobStatus.CANCELLED


async def test_a_child_that_the_letter_was_to_run_has_failed_and_says_why(
    around: Surroundings,
) -> None:
    child_id, envelope = await a_child(around)

    await bury(around.services, envelope, "invalid", "field number: Field required")

    child = await around.job(child_id)
    assert child.status is JobStatus.FAILED
    assert child.error == "its message is a dead letter (invalid): field number: Field required"
    assert (await around.job(child.root_id)).status is JobStatus.FAILED


async def test_a_child_that_runs_or_has_ended_is_left_alone(around: Surroundings) -> None:
    child_id, envelope = await a_child(around)
    running = await around.claim(child_id)

    await fail_unrun_child(around.services, envelope, "its message is unroutable")

    assert await around.job(child_id) == running


async def test_a_message_of_no_job_closes_none(around: Surroundings) -> None:
    sent = await around.producer.send(Work())

    await close_unrun_jobs(
        around.services, an_envelope("tests.note"), "acknowledged", is_job_aware=False
    )
    await close_unrun_jobs(
        around.services, an_envelope("tests.work"), "acknowledged", is_job_aware=True
    )

    assert (await around.job(sent.job_id)).status is JobStatus.NEW


async def test_a_root_whose_message_was_acknowledged_unread_is_cancelled(
    around: Surroundings,
) -> None:
    sent = await around.producer.send(Work())
    envelope = an_envelope("tests.work", id=sent.message_id)

    await close_unrun_jobs(around.services, envelope, "acknowledged", is_job_aware=True)

    assert (await around.job(sent.job_id)).status is JobStatus.CANCELLED


async def test_a_child_whose_message_was_acknowledged_unread_has_failed(
    around: Surroundings,
) -> None:
    child_id, envelope = await a_child(around)

    await close_unrun_jobs(around.services, envelope, "acknowledged", is_job_aware=False)

    child = await around.job(child_id)
    assert (child.status, child.error) == (JobStatus.FAILED, "acknowledged")


async def test_what_a_stranger_wrote_around_a_body_can_be_left_out() -> None:
    envelope = an_envelope(
        headers={"x": "y"}, attempt=9, job_id=2**80, expires_at=datetime.now(UTC) + timedelta(1)
    )

    assert bare(envelope) == an_envelope(
        id=envelope.id, sent_at=envelope.sent_at, body=envelope.body
    )


async def test_a_letter_without_a_detail_is_kept_all_the_same(around: Surroundings) -> None:
    sealed = around.services.envelopes.seal(Note())

    await bury(around.services, sealed, "rejected", "")

    [letter] = await around.dead_letters()
    assert (letter["dead_reason"], letter["dead_detail"]) == ("rejected", "")
