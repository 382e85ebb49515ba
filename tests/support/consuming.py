"""Real consumers in a test: started, given work, and looked at."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from mqjobs.app.app import App
from mqjobs.app.opening import OpenApp, consumer
from mqjobs.app.settings import Settings
from mqjobs.model.job import Job
from mqjobs.model.message import Envelope, Message, Sent
from mqjobs.model.result import Result
from mqjobs.model.status import TERMINAL, JobStatus
from mqjobs.model.topic import Topic
from mqjobs.processing.context import Context
from mqjobs.processing.middleware import Proceed
from mqjobs.processing.processor import Processor
from mqjobs.runtime.consumer import Consumer
from mqjobs.store.claims import Claim, Granted, claim_children
from mqjobs.store.consumers import ConsumerInfo, deregister, register
from mqjobs.store.database import Connection
from mqjobs.store.dead_letters import KeptLetter
from mqjobs.store.finishes import FinishedRun, finish_children
from mqjobs.store.job_store import transaction
from tests.support.amqp import Declared
from tests.support.processors import Acting
from tests.support.topics import Question
from tests.support.waiting import eventually

AnswerT = TypeVar("AnswerT")

Asked = Callable[[Message[Any], Context], Awaitable[Any]]

PACE = {
    "concurrency": 10,
    "pool_size": 6,
    "grace": 0.1,
    "heartbeat_interval": 600,
    "dead_after": 3600,
    "watch_interval": 0.05,
    "relay_interval": 0.05,
    "reap_interval": 600,
    "reconcile_interval": 600,
    "redelivery_delay": 0.05,
}
"""Quick where a test would wait; and nobody dies, is reaped or is repaired unless a test says so."""


@dataclass(frozen=True)
class Stage:
    """Where consumers can be started: a database, a broker, and the names that this test may use there."""

    database_url: str
    broker_url: str | None = None
    prefix: str = ""
    declared: Declared = field(default_factory=Declared)

    def app(
        self, *processors: Processor, sends: Sequence[type[Topic]] = (), **settings: Any
    ) -> App:
        """An app of these processors, at the tests' pace."""
        given = {
            "database_url": self.database_url,
            "broker_url": self.broker_url,
            "exchange": f"{self.prefix}mqjobs",
            **PACE,
            **settings,
        }
        app = App(Settings(**given))
        for processor in processors:
            processor.queue = self.queue(processor.queue or processor.topics[0].__topic__.queue)
        app.subscribe(*processors)
        app.sends(*sends)
        self.declared.exchanges.add(app.settings.exchange)
        return app

    def queue(self, name: str = "default") -> str:
        """The name of this test's own queue."""
        name = name if name.startswith(self.prefix) else f"{self.prefix}{name}"
        self.declared.queues.add(name)
        return name

    @asynccontextmanager
    async def running(
        self,
        *processors: Processor,
        consumers: int = 1,
        sends: Sequence[type[Topic]] = (),
        **settings: Any,
    ) -> AsyncIterator["Running"]:
        """Consumers of an app of these processors, until the block ends; what runs then is given back."""
        questions: dict[int, tuple[Asked, asyncio.Future[Any]]] = {}
        answering = Acting(Question, lambda message, context: _answer(questions, message, context))
        app = self.app(*processors, answering, sends=sends, **settings)
        failure: Exception | None = None
        async with app.open() as opened, asyncio.TaskGroup() as group:
            running = Running(self, app, opened, group, questions)
            try:
                for _ in range(consumers):
                    await running.start_consumer()
                yield running
            except Exception as error:  # the test's own, to be told as it is
                failure = error
            finally:
                for each in running.consumers:
                    each.stop.set()
        if failure is not None:
            raise failure


@dataclass
class Consuming:
    """One consumer: drains when `stop` is set, and waits for nothing once `at_once` is; `task` is what runs it."""

    consumer: Consumer
    stop: asyncio.Event
    at_once: asyncio.Event
    task: asyncio.Task[None]

    @property
    def id(self) -> UUID:
        """Its name in the database."""
        return self.consumer.services.runs.consumer_id

    async def stopped(self) -> None:
        """It has been told to stop, and has ended."""
        self.stop.set()
        await eventually(self.task.done, what="the consumer's end")


@dataclass
class Ended:
    """An attempt that has ended: its message, and what its processor returned or raised."""

    message: Message[Any]
    result: Result | None = None
    error: BaseException | None = None


class Running:
    """Consumers that run, and their app open beside them."""

    def __init__(
        self,
        stage: Stage,
        app: App,
        opened: OpenApp,
        group: asyncio.TaskGroup,
        questions: dict[int, tuple[Asked, asyncio.Future[Any]]],
    ) -> None:
        self.stage = stage
        self.app = opened
        self.consumers: list[Consuming] = []
        self.arrived: list[Message[Any]] = []
        self.ended: list[Ended] = []
        self._app = app
        self._group = group
        self._questions = questions

    # ------------------------------------------------------------------------------------------- consumers

    async def start_consumer(self, *queues: str, app: App | None = None) -> Consuming:
        """One more consumer, of the same app or of another, of these queues or of all."""
        ready = asyncio.get_running_loop().create_future()
        stop, at_once = asyncio.Event(), asyncio.Event()
        names = [self.stage.queue(each) for each in queues]
        running = self._consume(app or self._app, names, ready, stop, at_once)
        task = self._group.create_task(running)
        started = Consuming(await ready, stop, at_once, task)
        self.consumers.append(started)
        await eventually(lambda: self._is_known(started.id), what="the consumer's registration")
        return started

    async def _consume(
        self,
        app: App,
        queues: Sequence[str],
        ready: asyncio.Future[Consumer],
        stop: asyncio.Event,
        at_once: asyncio.Event,
    ) -> None:
        async with consumer(app.settings, app.registry, [self._note], queues) as running:
            ready.set_result(running)
            await running.run(stop, at_once)

    async def _note(self, message: Message[Any], context: Context, proceed: Proceed) -> Result:
        self.arrived.append(message)
        ended = Ended(message)
        try:
            ended.result = await proceed()
        except BaseException as error:
            ended.error = error
            raise
        finally:
            self.ended.append(ended)
        return ended.result

    async def _is_known(self, consumer_id: UUID) -> bool:
        found = "SELECT EXISTS (SELECT FROM mqjobs.consumer WHERE id = $1)"
        return bool(await self.fetchval(found, consumer_id))

    def consumer_of(self, job: Job) -> Consuming:
        """The one that ran the job when this was read."""
        [found] = [each for each in self.consumers if each.id == job.consumer_id]
        return found

    async def vanish(self, consumer: Consuming) -> None:
        """To all others the consumer is dead: its heartbeat is too old. Its code goes on."""
        await self.execute(
            "UPDATE mqjobs.consumer SET alive_until = now() - interval '1 hour' WHERE id = $1",
            consumer.id,
        )

    # -------------------------------------------------------------------------------------------- messages

    async def send(self, body: Topic, **options: Any) -> Sent:
        """See `Producer.send`."""
        sent = await self.app.producer.send(body, **options)
        self._have_consumers_look()
        return sent

    def _have_consumers_look(self) -> None:
        """At once, instead of when they would: in a test they are often idle."""
        for each in self.consumers:
            each.consumer.transport.wake()

    async def start(self, body: Topic) -> int:
        """The root job that was born with this message of a job-aware topic."""
        sent = await self.send(body)
        assert sent.job_id is not None, sent
        return sent.job_id

    async def deliver(self, *envelopes: Envelope) -> None:
        """These messages come, past all that is checked where messages are sent."""
        await self.app.transport.publish(envelopes)
        self._have_consumers_look()

    async def deliver_again(self, message: Message[Any]) -> None:
        """The same message comes once more, as a broker may have it come."""
        await self.deliver(
            Envelope(
                id=message.id,
                topic=message.topic,
                body=message.body.model_dump_json().encode(),
                priority=message.priority,
                sent_at=message.sent_at,
                headers=message.headers,
                attempt=message.attempt,
                job_id=message.job_id,
            )
        )

    async def hasten(self, message_id: UUID) -> None:
        """The message comes now, whatever its delay."""
        await self.execute(
            "UPDATE mqjobs.message SET available_at = now() WHERE message_id = $1", message_id
        )
        self._have_consumers_look()

    async def deliver_child(self, job_id: int) -> None:
        """The message of this delayed child comes now, whenever it was to come."""
        row = await self.fetchrow("SELECT * FROM mqjobs.job WHERE id = $1", job_id)
        await self.deliver(
            Envelope(
                id=row["message_id"],
                topic=row["topic"],
                body=row["body"],
                priority=row["priority"],
                sent_at=row["created_at"],
                job_id=job_id,
            )
        )

    async def dead_letters(self, count: int = 1) -> Sequence[KeptLetter]:
        """So many dead letters, once there are so many; the newest first."""
        await eventually(lambda: self._has_dead_letters(count), what=f"{count} dead letters")
        return await self.app.dead.list()

    async def dead_letter(self) -> KeptLetter:
        """The only dead letter, once it is there."""
        [letter] = await self.dead_letters()
        return letter

    async def _has_dead_letters(self, count: int) -> bool:
        return len(await self.app.dead.list()) >= count

    async def attempts(self, count: int, message_id: UUID | None = None) -> Sequence[Ended]:
        """So many attempts that have ended, once they have: of this message, or of any."""

        def found() -> list[Ended]:
            return [each for each in self.ended if message_id in {None, each.message.id}]

        await eventually(lambda: len(found()) >= count, what=f"{count} attempts")
        return found()

    async def settled(self) -> None:
        """No message waits for a consumer or is in the hands of one. On the Postgres transport only."""
        due = (
            "dead_at IS NULL AND (consumer_id IS NOT NULL OR available_at < now() + interval '1 s')"
        )
        await eventually(lambda: self._is_without(due), what="that nothing is under way")

    async def _is_without(self, messages: str) -> bool:
        return not await self.fetchval(
            f"SELECT EXISTS (SELECT FROM mqjobs.message WHERE {messages})"
        )

    async def outbox(self, topic: type[Topic]) -> Sequence[Any]:
        """The messages of this topic in the table, dead letters left out, in the order in which they are due."""
        return await self.fetch(
            "SELECT * FROM mqjobs.message WHERE topic = $1 AND dead_at IS NULL ORDER BY available_at, id",
            topic.__topic__.name,
        )

    async def parked(self, topic: type[Topic]) -> Sequence[Any]:
        """The messages of this topic that are in nobody's hands and come later, once there is one."""
        query = (
            "SELECT *, extract(epoch FROM available_at - now()) AS seconds FROM mqjobs.message"
            " WHERE topic = $1 AND consumer_id IS NULL AND dead_at IS NULL AND available_at > now()"
        )
        name = topic.__topic__.name
        await eventually(lambda: self.fetch(query, name), what=f"a parked message of {name}")
        return await self.fetch(query, name)

    async def inside(self, act: Callable[[Message[Any], Context], Awaitable[AnswerT]]) -> AnswerT:
        """What this returns or raises inside an attempt at a message. A bool or None decides of it as a job's does."""
        number = len(self._questions)
        future: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        self._questions[number] = (act, future)
        await self.send(Question(number=number))
        async with asyncio.timeout(15):
            return await future

    # ------------------------------------------------------------------------------------------------ jobs

    async def job(self, job_id: int) -> Job:
        """The job as it stands."""
        return await self.app.jobs.get(job_id)

    async def children(self, root_id: int) -> dict[str, Job]:
        """The children of a root by name."""
        return {job.name: job for job in await self.app.jobs.children(root_id, limit=10_000)}

    async def child(self, root_id: int, name: str) -> Job:
        """One child of a root."""
        return (await self.children(root_id))[name]

    async def child_when_there(self, root_id: int, name: str) -> Job:
        """One child of a root, once it has been created."""

        async def is_there() -> bool:
            return name in await self.children(root_id)

        await eventually(is_there, what=f"child {name!r}")
        return await self.child(root_id, name)

    async def until(self, job_id: int, *statuses: JobStatus) -> Job:
        """The job as it stands when it has one of these statuses."""
        found = await self.job(job_id)

        async def is_there() -> bool:
            nonlocal found
            found = await self.job(job_id)
            return found.status in statuses

        await eventually(is_there, what=f"job {job_id} {' or '.join(statuses)}")
        return found

    async def end(self, job_id: int) -> Job:
        """The job, once it has ended."""
        return await self.until(job_id, *TERMINAL)

    async def quiet(self, root_id: int, seconds: float = 7200) -> None:
        """Nothing has happened in this root for so long."""
        await self.execute(
            "UPDATE mqjobs.job SET last_active_at = last_active_at - $2::interval WHERE id = $1",
            root_id,
            timedelta(seconds=seconds),
        )

    async def run_elsewhere(self, job_id: int, *, crashes_allowed: int = 9) -> Job:
        """The job is run by a consumer that nobody has heard of for long: one that died with it."""
        dead = ConsumerInfo(uuid4(), "elsewhere", 1, "0.1", ["default"])
        claim = Claim(job_id, uuid4(), dead.id)
        async with self.transaction() as connection:
            await register(connection, dead, timedelta(minutes=1))
            [answer] = await claim_children(connection, [claim], crashes_allowed=crashes_allowed)
            await deregister(connection, dead.id)
        assert isinstance(answer, Granted), answer
        return answer.job

    async def finish(
        self, job: Job, status: JobStatus, error: str | None = None
    ) -> JobStatus | None:
        """What this run has come to, as its consumer would write it."""
        async with self.transaction() as connection:
            [written] = await finish_children(
                connection, [FinishedRun(job.id, job.lease, status, error)]
            )
        return written

    # -------------------------------------------------------------------------------------------- database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction of the test's own."""
        async with transaction(self.app.database) as connection:
            yield connection

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        """Rows of the database."""
        return await self.app.database.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        """One row of the database."""
        return await self.app.database.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """One value from the database."""
        return await self.app.database.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> None:
        """Change the database."""
        await self.app.database.execute(query, *arguments)


async def _answer(
    questions: dict[int, tuple[Asked, asyncio.Future[Any]]],
    message: Message[Any],
    context: Context,
) -> Result:
    act, future = questions[message.body.number]
    try:
        answer = await act(message, context)
    except Exception as error:
        future.set_exception(error)
        raise
    if not future.done():
        future.set_result(answer)
    return Result.of(answer) if answer is None or isinstance(answer, bool) else Result.ACK
