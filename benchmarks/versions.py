"""What was measured, and on what."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import aiormq
import asyncpg

PACKAGES = ("mqjobs", "aio-pika", "aiormq", "asyncpg", "pydantic", "uvloop")
PEERS = (
    *("faststream", "taskiq", "taskiq-aio-pika", "dramatiq", "pika", "celery", "kombu", "amqp"),
    *("pgqueuer", "procrastinate", "psycopg"),
)


async def versions(database_url: str, broker_url: str, peers: Sequence[str] = ()) -> str:
    """The versions of everything that takes part, and the cores that they share; `postgres:` is no broker."""
    rabbitmq = (
        [] if broker_url == "postgres:" else [f"RabbitMQ {await _version_of_broker(broker_url)}"]
    )
    parts = [
        *(f"{package} {_version_of(package)}" for package in (*PACKAGES, *peers)),
        f"Python {platform.python_version()}",
        f"PostgreSQL {await _version_of_database(database_url)}",
        *rabbitmq,
        f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores",
    ]
    return "; ".join(parts)


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


async def _version_of_database(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        version: str = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    return version


async def _version_of_broker(url: str) -> str:
    connection = await aiormq.connect(url)
    try:
        return str(connection.server_properties["version"])
    finally:
        await connection.close()
