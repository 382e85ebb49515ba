"""A processor that knows nothing of jobs, run as a delayed child."""

from typing import Any

from mqjobs.model.errors import Redeliver
from mqjobs.model.message import Message
from mqjobs.model.result import Result
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.processor import Processor
from mqjobs.processing.running_job import RunningJob


class DelayedProcessor(Processor):
    """Runs another processor inside the delayed child that a message belongs to.

    app.subscribe(DelayedProcessor(ResizeImageProcessor()))

    ACK is SUCCESS, REJECT is FAILED, REQUEUE is FAILED_REDELIVERED and the message comes again.
    """

    def __init__(self, inner: Processor) -> None:
        self._inner = inner
        self.topics = inner.topics
        self.queue = inner.queue

    async def process(self, message: Message[Any], context: Context) -> Result:
        """Run the child, and in it the processor."""

        async def run(runner: JobRunner, job: RunningJob) -> bool:
            result = await self._inner.process(message, context)
            match result:
                case Result.REQUEUE:
                    raise Redeliver
                case Result.ACK | Result.REJECT:
                    return result is Result.ACK
                case _:
                    raise TypeError(f"the processor returned {result!r}: a Result was expected")

        return Result.of(await context.jobs.run_delayed_by_message(message, run))
