"""TLS to both servers: who has the wrong certificate is not talked to, and nobody is talked to in plain instead."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.shell import Shell
from tests.support.tls import Papers, TlsFront, tls_front


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers.made_in(tmp_path / "papers")


@pytest.fixture
def stranger(tmp_path: Path) -> Papers:
    """An authority that the servers have nothing of."""
    return Papers.made_in(tmp_path / "stranger")


class Database:
    """The test's database behind TLS."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._name = parts.path

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._socket)

    def url(
        self, front: TlsFront, root: Path | str, host: str = "localhost", more: str = ""
    ) -> str:
        return (
            f"postgresql://postgres@{host}:{front.port}{self._name}"
            f"?sslmode=verify-full&sslrootcert={root}{more}"
        )


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


@pytest.fixture
async def database_front(papers: Papers, database: Database) -> AsyncIterator[TlsFront]:
    async with tls_front(papers, database.connect, asks_first=True) as front:
        yield front


@pytest.fixture
async def broker_front(papers: Papers, amqp_url: str) -> AsyncIterator[TlsFront]:
    async with tls_front(papers, lambda: connect_to(amqp_url)) as front:
        yield front


async def connect_to(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def broker_url(amqp_url: str, front: TlsFront, host: str = "localhost", query: str = "") -> str:
    user = urlsplit(amqp_url).netloc.rpartition("@")[0]
    return f"amqps://{user}@{host}:{front.port}/{query}"


async def test_postgresql_is_reached_over_tls(
    shell: Shell, papers: Papers, database: Database, database_front: TlsFront
) -> None:
    url = database.url(database_front, papers.root)
    ran = await shell("jobs", "list", MQJOBS_DATABASE_URL=url)
    assert (ran.code, ran.out, ran.err) == (0, "no root jobs\n", "")
    assert database_front.encrypted
    assert database_front.plain == 0


@pytest.mark.parametrize(
    ("host", "trusts_stranger", "says"),
    [
        ("localhost", True, "its certificate is not to be trusted: self-signed certificate"),
        ("127.0.0.1", False, "its certificate is not to be trusted: IP address mismatch"),
    ],
)
async def test_a_postgresql_with_another_certificate_is_refused_at_once(
    shell: Shell,
    papers: Papers,
    stranger: Papers,
    database: Database,
    database_front: TlsFront,
    host: str,
    trusts_stranger: bool,
    says: str,
) -> None:
    root = stranger.root if trusts_stranger else papers.root
    url = database.url(database_front, root, host)
    ran = await shell("jobs", "list", MQJOBS_DATABASE_URL=url)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "MQJOBS_DATABASE_URL" in ran.err
    assert (database_front.encrypted, database_front.plain) == (0, 0)


async def test_a_postgresql_that_refuses_tls_is_not_talked_to_in_plain(
    shell: Shell, papers: Papers
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(8))
        writer.write(b"N")
        heard.append(await reader.read())
        writer.close()

    heard: list[bytes] = []
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://a:marked@localhost:{port}/b?sslmode=verify-full&sslrootcert={papers.root}"
        ran = await shell("jobs", "list", "--connect-timeout", "0.5", MQJOBS_DATABASE_URL=url)
    assert (ran.code, ran.out) == (4, "")
    assert "rejected SSL upgrade" in ran.err
    assert set(heard[1::2]) == {b""}


async def test_postgresql_is_shown_the_certificate_of_the_client(
    shell: Shell, papers: Papers, database: Database
) -> None:
    more = f"&sslcert={papers.client_certificate}&sslkey={papers.client_key}"
    async with tls_front(papers, database.connect, asks_first=True, requires_client=True) as front:
        url = database.url(front, papers.root, more=more)
        ran = await shell("jobs", "list", MQJOBS_DATABASE_URL=url)
    assert (ran.code, ran.err) == (0, "")
    assert any("client@example.org" in client for client in front.clients)


async def test_rabbitmq_is_reached_over_tls(
    shell: Shell, papers: Papers, amqp_url: str, amqp_prefix: str, broker_front: TlsFront
) -> None:
    url = broker_url(amqp_url, broker_front, query=f"?cafile={papers.root}")
    variables = {"MQJOBS_BROKER_URL": url, "MQJOBS_EXCHANGE": f"{amqp_prefix}exchange"}
    ran = await shell("queues", "list", **variables)
    assert (ran.code, ran.err) == (0, "")
    assert broker_front.encrypted


@pytest.mark.parametrize(
    ("host", "authority", "says"),
    [
        ("localhost", "stranger", "its certificate is not to be trusted: self-signed certificate"),
        ("localhost", None, "its certificate is not to be trusted: self-signed certificate"),
        ("127.0.0.1", "papers", "its certificate is not to be trusted: IP address mismatch"),
    ],
)
async def test_a_rabbitmq_with_another_certificate_is_refused_at_once(
    shell: Shell,
    request: pytest.FixtureRequest,
    amqp_url: str,
    broker_front: TlsFront,
    host: str,
    authority: str | None,
    says: str,
) -> None:
    query = f"?cafile={request.getfixturevalue(authority).root}" if authority else ""
    url = broker_url(amqp_url, broker_front, host, query)
    ran = await shell("queues", "list", MQJOBS_BROKER_URL=url)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "MQJOBS_BROKER_URL" in ran.err
    assert broker_front.encrypted == 0


async def test_a_broker_that_knows_no_tls_is_not_talked_to_in_plain(
    shell: Shell, papers: Papers, amqp_url: str
) -> None:
    url = amqp_url.replace("amqp://", "amqps://") + f"?cafile={papers.root}"
    ran = await shell("queues", "list", "--connect-timeout", "0.5", MQJOBS_BROKER_URL=url)
    assert (ran.code, ran.out) == (3, "")
    assert "SSL" in ran.err


async def test_rabbitmq_is_shown_the_certificate_of_the_client(
    shell: Shell, papers: Papers, amqp_url: str, amqp_prefix: str
) -> None:
    query = (
        f"?cafile={papers.root}&certfile={papers.client_certificate}&keyfile={papers.client_key}"
    )
    async with tls_front(papers, lambda: connect_to(amqp_url), requires_client=True) as front:
        variables = {
            "MQJOBS_BROKER_URL": broker_url(amqp_url, front, query=query),
            "MQJOBS_EXCHANGE": f"{amqp_prefix}exchange",
        }
        ran = await shell("queues", "list", **variables)
    assert (ran.code, ran.err) == (0, "")
    assert any("client@example.org" in client for client in front.clients)


@pytest.mark.parametrize(
    ("variable", "url", "says"),
    [
        (
            "MQJOBS_DATABASE_URL",
            "postgresql://a:marked@localhost:1/b?sslmode=verify-full&sslrootcert=/nowhere.pem",
            "sslrootcert '/nowhere.pem' cannot be read: No such file or directory",
        ),
        (
            "MQJOBS_DATABASE_URL",
            "postgresql://a:marked@localhost:1/b?sslmode=verify-full",
            "sslrootcert=… for sslmode=verify-…",
        ),
        (
            "MQJOBS_BROKER_URL",
            "amqps://a:marked@localhost:1/?cafile=/nowhere.pem",
            "cafile '/nowhere.pem' cannot be read: No such file or directory",
        ),
    ],
)
async def test_a_file_that_is_not_there_is_named(
    shell: Shell, variable: str, url: str, says: str
) -> None:
    ran = await shell("queues", "list", **{variable: url, "HOME": "/nowhere"})
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Error: {variable}")
    assert says in ran.err
    assert "marked" not in ran.err
