"""Databases of a test server: made from a migrated template, dropped when the test is over."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from mqjobs.store.migrations import migrate


async def create_template(server_url: str) -> str:
    """Create a database with mqjobs' tables and nothing in them, and return its name."""
    name = _new_name("template")
    await _execute(server_url, f'CREATE DATABASE "{name}"')
    connection = await asyncpg.connect(url_of(server_url, name))
    try:
        await migrate(connection)
    finally:
        await connection.close()
    return name


@asynccontextmanager
async def database(server_url: str, template: str) -> AsyncIterator[str]:
    """The URL of a fresh copy of the template; whoever is still connected at the end is cut off."""
    name = _new_name("test")
    await _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield url_of(server_url, name)
    finally:
        await drop(server_url, name)


async def drop(server_url: str, name: str) -> None:
    """Drop a database, whoever is connected to it."""
    await _execute(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def url_of(server_url: str, name: str) -> str:
    """The URL of one database of a server."""
    parts = urlsplit(server_url)
    return urlunsplit(("postgresql", parts.netloc, f"/{name}", parts.query, ""))


def _new_name(kind: str) -> str:
    return f"mqjobs_{kind}_{uuid4().hex[:12]}"


async def _execute(server_url: str, statement: str) -> None:
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
