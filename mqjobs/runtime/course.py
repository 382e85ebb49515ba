"""The course of an attempt: its code is run, and where the message goes is told by what that came to."""

from datetime import timedelta

from mqjobs.model.message import Message
from mqjobs.model.outcome import StopReason
from mqjobs.model.topic import Topic
from mqjobs.processing.attempt import Attempt, Verdict
from mqjobs.processing.context import Context
from mqjobs.processing.middleware import Process
from mqjobs.runtime.fate import Fate, GiveBack, fate_of_error, fate_of_result


async def fate_of_attempt(
    process: Process, message: Message[Topic], context: Context, redelivery_delay: timedelta
) -> Fate:
    """Run the processor's code as the task of this attempt, and say what becomes of its message."""
    attempt = context.attempt
    try:
        with attempt.running():
            result = await process(message, context)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raised = _heard(error, attempt)
    else:
        return fate_of_result(result, attempt.verdict, attempt.detail, redelivery_delay)
    if raised is None:
        return GiveBack()
    return fate_of_error(
        raised,
        attempt.verdict,
        attempt.detail,
        attempt=message.attempt,
        retry=attempt.retry,
        redelivery_delay=redelivery_delay,
    )


def _heard(error: BaseException, attempt: Attempt) -> BaseException | None:
    """What the processor's code came to, whatever it raised while it was stopped; None: it is to be given back.

    A consumer that is at its end stops its attempts before it cancels their tasks: without a stop, a cancellation is
    the code's own. How often its task was cancelled does not tell: in Python 3.11 a task group of the code's that has
    failed counts as one, for good.
    """
    if attempt.stop_reason is None:
        return error
    if attempt.stop_reason is StopReason.TIMED_OUT:
        late = TimeoutError("the attempt took longer than its topic's timeout")
        late.__cause__ = error
        return late
    return None if attempt.verdict in {None, Verdict.OPEN, Verdict.PARK} else error
