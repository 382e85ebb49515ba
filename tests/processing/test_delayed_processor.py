"""A processor that knows nothing of jobs, run as a delayed child."""

from typing import Any

import pytest

from mqjobs.model.errors import Redeliver, UnknownJob
from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.processing.attempt import Verdict
from mqjobs.processing.context import Context
from mqjobs.processing.delayed_processor import DelayedProcessor
from tests.support.envelopes import an_envelope
from tests.support.processors import Acting
from tests.support.surroundings import Surroundings
from tests.support.topics import Piece


def returning(result: Any) -> DelayedProcessor:
    async def act(message: Message[Any], context: Context) -> Result:
        return result  # type: ignore[no-any-return]  # and wrong ones, too

    return DelayedProcessor(Acting(Piece, act, "pieces"))


async def a_child(around: Surroundings) -> int:
    async with around.splitting() as runner:
        return (await runner.create_delayed("one", Piece())).id


def test_it_takes_what_the_other_takes() -> None:
    processor = returning(Result.ACK)

    assert (processor.topics, processor.queue) == ((Piece,), "pieces")


@pytest.mark.parametrize(
    ("result", "status"),
    [(Result.ACK, JobStatus.SUCCESS), (Result.REJECT, JobStatus.FAILED)],
)
async def test_its_result_is_the_jobs_outcome_and_the_messages_end(
    around: Surroundings, result: Result, status: JobStatus
) -> None:
    child_id = await a_child(around)
    message = around.message(Piece(), job_id=child_id)

    assert await returning(result).process(message, around.context(around.attempt())) is result

    assert (await around.job(child_id)).status is status


async def test_asking_for_it_again_redelivers_the_job(around: Surroundings) -> None:
    child_id = await a_child(around)
    attempt = around.attempt(an_envelope("tests.piece", job_id=child_id))

    with pytest.raises(Redeliver):
        await returning(Result.REQUEUE).process(
            around.message(Piece(), job_id=child_id), around.context(attempt)
        )

    assert (await around.job(child_id)).status is JobStatus.FAILED_REDELIVERED
    assert attempt.verdict is Verdict.AGAIN


async def test_no_result_fails_the_job_with_what_was_expected(around: Surroundings) -> None:
    child_id = await a_child(around)

    with pytest.raises(TypeError):
        await returning(None).process(
            around.message(Piece(), job_id=child_id), around.context(around.attempt())
        )

    job = await around.job(child_id)
    assert job.status is JobStatus.FAILED
    assert "the processor returned None: a Result was expected" in (job.error or "")


async def test_a_message_of_no_child_is_rejected(around: Surroundings) -> None:
    attempt = around.attempt()

    with pytest.raises(UnknownJob, match="belongs to no delayed child: send it by create_delayed"):
        await returning(Result.ACK).process(around.message(Piece()), around.context(attempt))

    assert attempt.verdict is Verdict.REJECT
