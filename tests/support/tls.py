"""Encrypted ways to servers that are not: TLS ends here, as at a load balancer, and what goes on is plain."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import trustme

HOST = "localhost"
STARTS_TLS = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")

Connect: TypeAlias = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass(frozen=True)
class Papers:
    """Files of an authority, and of a client whom it knows."""

    authority: trustme.CA
    folder: Path
    root: Path
    client_certificate: Path
    client_key: Path

    @classmethod
    def made_in(cls, folder: Path) -> "Papers":
        """A new authority's."""
        folder.mkdir()
        authority = trustme.CA()
        root, certificate, key = folder / "root.pem", folder / "client.pem", folder / "client.key"
        authority.cert_pem.write_to_path(str(root))
        client = authority.issue_cert("client@example.org")
        client.cert_chain_pems[0].write_to_path(str(certificate))
        client.private_key_pem.write_to_path(str(key))
        key.chmod(0o600)
        return cls(authority, folder, root, certificate, key)


@dataclass
class TlsFront:
    """Who came: with which client's certificate, if with any, and how many wanted to talk in plain."""

    port: int = 0
    plain: int = 0
    encrypted: int = 0
    clients: set[str] = field(default_factory=set)


@asynccontextmanager
async def tls_front(
    papers: Papers,
    connect: Connect,
    *,
    name: str = HOST,
    asks_first: bool = False,
    requires_client: bool = False,
) -> AsyncIterator[TlsFront]:
    """TLS under this host name, before the server that `connect` reaches; `asks_first` as PostgreSQL's clients do."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    papers.authority.issue_cert(name).configure_cert(context)
    papers.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED if requires_client else ssl.CERT_OPTIONAL
    front = TlsFront()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            if asks_first and not await _agrees(reader, writer, front):
                return
            await writer.start_tls(context)
            front.encrypted += 1
            if certificate := writer.get_extra_info("peercert"):
                front.clients.add(str(certificate["subjectAltName"]))
            await _join(reader, writer, *await connect())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    front.port = server.sockets[0].getsockname()[1]
    async with server:
        yield front


async def _agrees(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, front: TlsFront
) -> bool:
    if await reader.readexactly(8) != STARTS_TLS:
        front.plain += 1
        writer.close()
        return False
    writer.write(b"S")
    await writer.drain()
    return True


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    server_reader: asyncio.StreamReader,
    server_writer: asyncio.StreamWriter,
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_carry(reader, server_writer))
        group.create_task(_carry(server_reader, writer))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
