"""Roles of least privilege: each does through the real code what it is for, and is refused the rest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from mqjobs.app.app import App
from mqjobs.app.opening import OpenApp
from mqjobs.app.settings import Settings
from mqjobs.model.errors import Forbidden
from mqjobs.model.interruption import Interruption
from mqjobs.model.message import Binding, Message
from mqjobs.model.result import Result
from mqjobs.model.status import JobStatus
from mqjobs.processing.context import Context
from mqjobs.processing.job_runner import JobRunner
from mqjobs.processing.running_job import RunningJob
from mqjobs.store import migrations
from mqjobs.store.database import Connection
from mqjobs.store.messages import bind
from tests.support.consuming import Stage
from tests.support.processors import Acting, delayed
from tests.support.shell import Shell
from tests.support.stored_jobs import connected
from tests.support.topics import HastyPiece, Note, Piece, Unbound, Work
from tests.support.waiting import eventually

SHOP = """
from mqjobs import App, Processor, Result, Topic


class Price(Topic, name="shop.price"):
    pass


class PriceProcessor(Processor):
    topics = (Price,)

    async def process(self, message, context):
        return Result.ACK


app = App()
app.subscribe(PriceProcessor())
"""


@dataclass(frozen=True)
class Roles:
    """The test's database, and users who log in to it."""

    url: str
    owner: Connection

    @asynccontextmanager
    async def user(self, role: str | None) -> AsyncIterator[str]:
        """The URL of a user who has this role, and no other right."""
        name = f"user_{uuid4().hex[:10]}"
        await self.owner.execute(f"CREATE ROLE {name} LOGIN {f'IN ROLE {role}' if role else ''}")
        try:
            yield self.url.replace("//postgres@", f"//{name}@")
        finally:
            await self.owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
async def roles(database_url: str) -> AsyncIterator[Roles]:
    async with connected(database_url) as owner:
        for _ in range(2):
            await owner.execute(migrations.roles())
        yield Roles(database_url, owner)


@asynccontextmanager
async def sender(url: str, **settings: Any) -> AsyncIterator[OpenApp]:
    app = App(Settings(database_url=url, **settings))
    app.sends(Note, Work, Unbound)
    async with app.open() as opened:
        yield opened


async def test_a_producer_sends_whatever_can_be_sent(roles: Roles) -> None:
    await bind(roles.owner, [Binding("q", "tests.note"), Binding("q", "tests.work")])
    stale = {"time_before_stale": {"default": 0.0}}
    async with roles.user("mqjobs_producer") as url, sender(url, **stale) as mq:
        await mq.producer.send(Note())
        await mq.producer.send(Note(), delay=60)
        first = await mq.producer.send(Work(job="a"))
        second = await mq.producer.send(Work(job="a"))
        both = await mq.producer.send_many([Work(job="a"), Work(job="b")])
        async with mq.database.acquire() as connection, connection.transaction():
            await mq.producer.send(Work(job="c"), connection=connection)

    statuses = await roles.owner.fetch("SELECT id, status FROM mqjobs.job WHERE root_id IS NULL")
    by_id = {row["id"]: row["status"] for row in statuses}
    assert (by_id[first.job_id], by_id[second.job_id]) == ("stale", "stale")
    assert [by_id[sent.job_id] for sent in both] == ["new", "new"]
    assert await roles.owner.fetchval("SELECT count(*) FROM mqjobs.message") == 7


async def test_a_producer_keeps_what_no_queue_takes_any_more(roles: Roles) -> None:
    await bind(roles.owner, [Binding("q", "tests.note")])
    async with roles.user("mqjobs_producer") as url, sender(url) as mq:
        await mq.producer.send(Note())
        await roles.owner.execute("DELETE FROM mqjobs.binding")
        sent = await mq.producer.send(Note())

    [letter] = await roles.owner.fetch("SELECT * FROM mqjobs.message WHERE dead_at IS NOT NULL")
    assert (letter["message_id"], letter["dead_reason"]) == (sent.message_id, "unroutable")


async def test_a_producer_is_told_of_the_job_that_has_the_name(roles: Roles) -> None:
    await bind(roles.owner, [Binding("q", "tests.work")])
    async with roles.user("mqjobs_producer") as url, sender(url) as mq:
        first = await mq.producer.send(Work())
        assert (await mq.producer.send(Work())).blocked_by == first.job_id


async def test_an_app_with_processors_can_send_once_its_consumer_has_declared_them(
    roles: Roles,
) -> None:
    await bind(roles.owner, [Binding("default", "tests.note")])
    async with roles.user("mqjobs_producer") as url:
        app = App(Settings(database_url=url))
        app.subscribe(Acting(Note, acknowledge))
        async with app.open() as mq:
            await mq.producer.send(Note())


async def acknowledge(message: Message[Any], context: Context) -> Result:
    return Result.ACK


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE mqjobs.job SET status = 'cancelled'",
        "UPDATE mqjobs.job SET lease = lease + 1",
        "DELETE FROM mqjobs.job",
        "INSERT INTO mqjobs.job (owner_id, name) VALUES ('a', 'b')",
        "SELECT body FROM mqjobs.job",
        "SELECT id FROM mqjobs.job FOR UPDATE",
        "SELECT body FROM mqjobs.message",
        "UPDATE mqjobs.message SET body = ''",
        "DELETE FROM mqjobs.message",
        "INSERT INTO mqjobs.binding (topic, queue) VALUES ('a', 'b')",
        "DELETE FROM mqjobs.consumer",
        "INSERT INTO mqjobs.paused_queue (queue, paused_by) VALUES ('a', 'b')",
        "SELECT nextval('mqjobs.job_id_seq')",
        "UPDATE mqjobs.schema_version SET version = 0",
        "DROP FUNCTION mqjobs.take_over(bigint, interval)",
        "CREATE TABLE mqjobs.mine (id int)",
    ],
)
async def test_a_producer_is_refused_all_else(roles: Roles, statement: str) -> None:
    async with roles.user("mqjobs_producer") as url:
        connection = await asyncpg.connect(url)
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        finally:
            await connection.close()


async def test_functions_that_act_as_their_owner_find_nothing_by_a_search_path(
    roles: Roles,
) -> None:
    functions = await roles.owner.fetch(
        "SELECT proname, proconfig FROM pg_proc"
        " WHERE pronamespace = 'mqjobs'::regnamespace AND prosecdef ORDER BY proname"
    )
    assert [row["proname"] for row in functions] == [
        "create_root",
        "lock_roots_in_the_way",
        "take_over",
    ]
    assert {tuple(row["proconfig"]) for row in functions} == {("search_path=pg_catalog, pg_temp",)}


async def test_a_producer_makes_no_job_stale_in_which_a_child_runs(roles: Roles) -> None:
    pieces = 0

    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.create_delayed("piece", Piece())
        return True

    async def run(runner: JobRunner, job: RunningJob) -> bool:
        nonlocal pieces
        pieces += 1
        await eventually(lambda: pieces > 1)
        return True

    stage = Stage(roles.url)
    async with (
        roles.user("mqjobs_producer") as url,
        stage.running(unique_of(split), delayed(run)) as mq,
    ):
        root = await mq.start(Work())
        await eventually(lambda: pieces)
        connection = await asyncpg.connect(url)
        became = await connection.fetchval("SELECT mqjobs.take_over($1, $2)", root, timedelta(0))
        await connection.close()
        pieces += 1
    assert became == "in the way"


def unique_of(callback: Any) -> Acting:
    async def act(message: Message[Any], context: Context) -> Result:
        return Result.of(await context.jobs.run_unique_by_message(message, callback))

    return Acting(Work, act)


async def test_a_consumer_and_an_operator_do_everything(roles: Roles) -> None:
    async def split(runner: JobRunner, job: RunningJob) -> bool:
        await runner.add_dependent(Note())
        await job.report(progress=0.5, step="split")
        await runner.create_delayed("fine", Piece(number=1))
        await runner.create_delayed("failing", Piece(number=0))
        return True

    async def run(runner: JobRunner, job: RunningJob) -> bool:
        return "fine" in job.name

    async with roles.user("mqjobs_consumer") as url:
        stage = Stage(url)
        processors = (unique_of(split), delayed(run), Acting(Note, acknowledge))
        quick: dict[str, Any] = {
            "heartbeat_interval": 0.2,
            "reap_interval": 0.2,
            "reconcile_interval": 0.2,
        }
        async with stage.running(*processors, delayed(run, HastyPiece), **quick) as mq:
            root = await mq.start(Work())
            await eventually(lambda: has_ended(mq.app, root))
            letter = await mq.dead_letter()
            await mq.app.dead.replay(letter.id)
            again = await mq.dead_letter()
            assert again.id != letter.id
            assert await mq.app.dead.drop(again.id) == 1
            assert await mq.app.jobs.interrupt(root) is Interruption.ENDED_BEFORE
            assert await mq.app.jobs.retry(root) == 1
            await eventually(lambda: has_ended(mq.app, root))
            assert (await mq.app.jobs.get(root)).status is JobStatus.FAILED
            await mq.app.queues.pause("default", by="ann")
            await mq.app.queues.resume("default")
            await mq.app.queues.purge("default", by="ann")
        async with stage.app(*processors).open() as opened:
            removed = await opened.jobs.cleanup(dict.fromkeys(JobStatus, timedelta(0)))
            assert removed.roots == 1


async def has_ended(mq: OpenApp, root: int) -> bool:
    return (await mq.jobs.get(root)).status.is_terminal


async def test_a_reader_sees_everything_and_changes_nothing(roles: Roles, tmp_path: Path) -> None:
    async with roles.user("mqjobs_reader") as url:
        shell = Shell(tmp_path, {"MQJOBS_DATABASE_URL": url})
        for words in (
            ["jobs", "list"],
            ["dead", "list"],
            ["queues", "list"],
            ["consumers", "list"],
        ):
            ran = await shell(*words)
            assert (ran.code, ran.err) == (0, ""), words
        refused = await shell("queues", "pause", "tests")
        assert (refused.code, refused.out) == (2, "")
        assert "permission denied for table paused_queue; see mqjobs migrate --roles" in refused.err


async def test_who_has_no_role_is_told_so(roles: Roles, tmp_path: Path) -> None:
    async with roles.user(None) as url:
        shell = Shell(tmp_path, {"MQJOBS_DATABASE_URL": url})
        ran = await shell("jobs", "list")
        assert (ran.code, ran.out) == (2, "")
        assert "permission denied for schema mqjobs; see mqjobs migrate --roles" in ran.err
        with pytest.raises(Forbidden):
            async with sender(url):
                pass


async def test_a_daemon_and_a_migration_in_a_producers_name_end_with_one_message(
    roles: Roles, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    async with roles.user("mqjobs_producer") as url:
        shell = Shell(tmp_path, {"MQJOBS_DATABASE_URL": url, "MQJOBS_APP": "shop:app"})
        for words in (["consume"], ["relay"], ["migrate"]):
            ran = await shell(*words)
            assert (ran.code, ran.out) == (2, ""), words
            assert "permission denied for" in ran.err.splitlines()[-1]
            assert ran.err.endswith("; see mqjobs migrate --roles\n")
            assert "Traceback" not in ran.err


async def test_a_consumer_in_a_producers_name_ends_before_it_says_that_it_consumes(
    roles: Roles, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    await bind(roles.owner, [Binding("default", "shop.price")])
    async with roles.user("mqjobs_producer") as url:
        shell = Shell(tmp_path, {"MQJOBS_DATABASE_URL": url, "MQJOBS_APP": "shop:app"})
        alone = await shell("consume")
        family = await shell("consume", "--processes", "2")

    [error] = alone.err.splitlines()
    assert alone.code == 2
    assert error.startswith("Error: ")
    assert "permission denied for table" in error
    assert error.endswith("; see mqjobs migrate --roles")
    assert (family.code, family.err.count("permission denied for table")) == (2, 1)
    assert family.err.count('"child_started"') == 1
    assert "goodbye_failed" not in family.err
    assert "death_not_told" not in family.err


async def test_a_relay_in_a_producers_name_ends_before_it_says_that_it_carries(
    roles: Roles, tmp_path: Path
) -> None:
    async with roles.user("mqjobs_producer") as url:
        ran = await Shell(tmp_path, {"MQJOBS_DATABASE_URL": url})("relay")

    assert (ran.code, ran.err) == (
        2,
        "Error: the outbox: PostgreSQL says permission denied for table message; see mqjobs migrate --roles\n",
    )


async def test_the_doctor_examines_in_a_producers_name_what_that_may_see(
    roles: Roles, tmp_path: Path
) -> None:
    async with roles.user("mqjobs_producer") as url:
        ran = await Shell(tmp_path, {"MQJOBS_DATABASE_URL": url})("doctor")
    assert (ran.code, ran.err) == (0, "")
    assert "consumers" in ran.out
    assert "not checked: PostgreSQL says permission denied for table consumer" in ran.out


async def test_the_script_is_shown_by_the_command(tmp_path: Path) -> None:
    ran = await Shell(tmp_path, {})("migrate", "--roles")
    assert (ran.code, ran.out) == (0, migrations.roles())
