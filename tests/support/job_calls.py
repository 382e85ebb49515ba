"""What senders and runs hand to the store, as the model's requests and outcomes have it."""

from mqjobs.model.message import Envelope
from mqjobs.model.status import JobStatus
from mqjobs.store.children import OwnRun
from mqjobs.store.database import Connection
from mqjobs.store.finishes import FinishedRun
from mqjobs.store.messages import insert_messages
from mqjobs.store.roots import NameTaken, NewRoot, RootFound, create_root
from tests.support.job_bench import Call
from tests.support.job_model import Run
from tests.support.job_model_calls import Outcome, Request


def birth(wanted: Request, envelope: Envelope | None) -> NewRoot:
    return NewRoot(wanted.owner_id, wanted.name, envelope, wanted.stale_after)


def bear(new: NewRoot, envelope: Envelope) -> Call[RootFound | NameTaken]:
    """A job-aware message is sent: its root is created in the same transaction, or nothing is sent."""

    async def write(connection: Connection) -> RootFound | NameTaken:
        found = await create_root(connection, new)
        if isinstance(found, RootFound):
            await insert_messages(connection, [envelope])
        return found

    return write


def own_run(run: Run) -> OwnRun:
    return OwnRun(run.child.root.id, run.child.id, run.lease)


def written(run: Run, outcome: Outcome) -> FinishedRun:
    """The outcome as the run writes it; the message of a next run comes to the queue that it came from."""
    again = None
    if outcome.again_in is not None and run.envelope is not None:
        attempt = run.envelope.attempt + outcome.counts
        again = run.envelope.again(run.envelope.queue or "", outcome.again_in, attempt=attempt)
    return FinishedRun(
        run.child.id, run.lease, outcome.status, outcome.error, again, outcome.counts
    )


def possible(run: Run, outcome: Outcome) -> Outcome:
    """What was not asked for by a message cannot come again."""
    return outcome if outcome.again_in is None or run.envelope else Outcome(JobStatus.FAILED)
