"""A hand that sends single pieces of work to the consumers of an arena, and sees what becomes of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from mqjobs import App, Job, JobStatus, OpenApp, Sent, Settings, Topic
from tests.faults.arena import Arena
from tests.faults.ledger import Event, What, read
from tests.faults.load import send
from tests.faults.topics import Act, Leaf, Plain, Single, Tree
from tests.support.waiting import eventually


@dataclass
class Hand:
    """Sends, and waits for what comes of it."""

    arena: Arena
    mq: OpenApp
    sent: int = 0

    async def send(self, body: Topic) -> Sent:
        """It is on its way."""
        self.sent += 1
        sent = await send(self.mq, self.arena.ledger, self.sent, body)
        assert sent is not None
        return sent

    async def single(self, act: Act = Act.SUCCEED, seconds: float = 0) -> int:
        """The root of a single job that was sent just now."""
        sent = await self.send(Single(slot=f"hand {self.sent}", act=act, ms=seconds * 1000))
        assert sent.job_id is not None
        return sent.job_id

    async def own(self, root_id: int) -> Job:
        """The own child of a root, as it stands."""
        [own] = [job for job in await self.mq.jobs.children(root_id, limit=1) if job.own_child]
        return own

    async def starts(
        self, root_id: int, count: int = 1, within: timedelta = timedelta(seconds=30)
    ) -> list[Event]:
        """The beginnings of the runs of a root's own child, once there are so many."""

        def begun() -> list[Event]:
            return [
                event
                for event in read(self.arena.folder)
                if event.what is What.START and event.get("root") == root_id
            ]

        await eventually(
            lambda: len(begun()) >= count, within=within, what=f"{count} runs of root {root_id}"
        )
        return begun()

    async def ended(self, root_id: int, within: timedelta = timedelta(seconds=30)) -> JobStatus:
        """How the root has ended, once it has."""

        async def has_ended() -> bool:
            return (await self.mq.jobs.get(root_id)).status.is_terminal

        await eventually(has_ended, within=within, what=f"the end of root {root_id}")
        return (await self.mq.jobs.get(root_id)).status


@asynccontextmanager
async def hand(arena: Arena) -> AsyncIterator[Hand]:
    """A hand in this arena, whose consumers have been started once."""
    app = App(
        Settings(
            database_url=arena.database_url,
            broker_url=arena.broker_url,
            exchange=arena.name,
            pool_size=4,
        )
    )
    app.sends(Tree, Leaf, Single, Plain)
    async with app.open() as mq:
        yield Hand(arena, mq)
