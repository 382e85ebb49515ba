"""The steps of the demo, beside a running consumer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from consumers import index
from consumers.daemon import ConsumerDaemon
from consumers.index import Statistics
from consumers.screen import Screen
from mqjobs import Job, JobStatus, OpenApp, Sent
from topics.search import ReindexDocs

COLLECTION = "stdlib"
FEWEST_DOCUMENTS = 1_000
POLL_EVERY = 0.2

SAMPLES = {
    "fine.py": b'"""A module that can be parsed."""\n',
    "old.py": b"import sys\n\nprint 'Python 2 is gone'\n",
    "encoded.py": b"'''A caf\xe9 in an encoding that is not named.'''\n",
}


class DemoFailed(Exception):
    """Something did not go as the demo promises."""


def write_samples(folder: Path) -> None:
    """Put the sample modules into the folder."""
    for name, source in SAMPLES.items():
        (folder / name).write_bytes(source)


def ignore(root: Job) -> None:
    """Show nothing."""


class Tour:
    """Sends messages, follows what becomes of them, and shows it."""

    def __init__(self, screen: Screen, mq: OpenApp, daemon: ConsumerDaemon) -> None:
        self.screen = screen
        self.mq = mq
        self.daemon = daemon

    async def rebuild(self) -> None:
        """One message becomes a root job with a child per module, and a dependent message."""
        self.screen.headline("One message, one root job, one child job per module")
        root_id = await self._send(COLLECTION)
        await self._split(root_id)
        await self._send_again(COLLECTION, root_id)
        with self.screen.progress() as show:
            root = await self._end_of(root_id, show)
        await self._show_tree(root)
        if root.status in {JobStatus.CANCELLED, JobStatus.STALE}:
            raise DemoFailed(f"root job {root_id} ended {root.status}")
        statistics = await self._statistics(root)
        self.screen.totals(root, statistics)
        if statistics.documents < FEWEST_DOCUMENTS:
            raise DemoFailed(f"{statistics.documents} documents, not {FEWEST_DOCUMENTS} or more")

    async def fail(self) -> int:
        """A folder with modules that cannot be parsed: its children fail; returns the root's id."""
        self.screen.headline("A folder with two modules that cannot be parsed")
        with TemporaryDirectory(prefix="samples-") as folder:
            write_samples(Path(folder))
            root_id = await self._send(folder)
            root = await self._end_of(root_id)
        await self._show_tree(root)
        if root.children_failed != len(SAMPLES) - 1:
            raise DemoFailed(f"{root.children_failed} children failed, not {len(SAMPLES) - 1}")
        return root_id

    async def _send(self, collection: str) -> int:
        """Ask for a rebuild, after the one that is under way if there is one; its root job."""
        while (sent := await self._request(collection)).blocked_by is not None:
            self.screen.say(
                f"Refused: root job {sent.blocked_by} of another run has the name. Waiting for its end."
            )
            await self._end_of(sent.blocked_by)
        if sent.job_id is None:
            raise DemoFailed("the message was sent without a root job")
        self.screen.say(f"Sent search.reindex for {collection}: root job {sent.job_id}.")
        return sent.job_id

    async def _send_again(self, collection: str, root_id: int) -> None:
        sent = await self._request(collection)
        if sent.blocked_by != root_id:
            raise DemoFailed(f"sent twice while job {root_id} ran, and not refused: {sent}")
        self.screen.say(f"Sent it once more: refused, because job {root_id} has the name.")

    async def _request(self, collection: str) -> Sent:
        return await self.mq.producer.send(ReindexDocs(collection=collection))

    async def _split(self, root_id: int) -> None:
        """Return once the root has children beside its own."""
        async for root in self._states(root_id):
            if root.children > 1:
                return

    async def _end_of(self, root_id: int, show: Callable[[Job], None] = ignore) -> Job:
        """The root job as it ended; on the way there it is shown."""
        async for root in self._states(root_id):
            show(root)
        return root

    async def _states(self, root_id: int) -> AsyncIterator[Job]:
        """The root job as it is now and then, until it has ended; at least once."""
        while True:
            self.daemon.check()
            root = await self.mq.jobs.get(root_id)
            yield root
            if root.status.is_terminal:
                return
            await asyncio.sleep(POLL_EVERY)

    async def _show_tree(self, root: Job) -> None:
        succeeded = await self.mq.jobs.children(root.id, status=JobStatus.SUCCESS, limit=3)
        failed = await self.mq.jobs.children(root.id, status=JobStatus.FAILED, limit=5)
        self.screen.tree(root, succeeded, failed)

    async def _statistics(self, root: Job) -> Statistics:
        """What the dependent message of this root made the consumer count."""
        while True:
            self.daemon.check()
            counted = await index.statistics_of(self.mq.database, COLLECTION)
            if counted and root.stopped_at and counted.refreshed_at >= root.stopped_at:
                return counted
            await asyncio.sleep(POLL_EVERY)
