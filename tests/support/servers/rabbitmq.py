"""A private RabbitMQ node: own name, ports, folders and epmd, all of it on 127.0.0.1."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from tests.support.servers.broker import ServerError
from tests.support.servers.network import HOST, answers_amqp, free_ports, listens, wait_until
from tests.support.servers.process import OwnProcess

_START_DEADLINE = timedelta(seconds=90)
_STOP_GRACE = timedelta(seconds=30)

# The first is Debian's: there its programs stand; those in /usr/sbin change to a system user first.
_FOLDERS = [
    "/usr/lib/rabbitmq/bin",
    *os.get_exec_path(),
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/sbin",
]
_EPMD_FOLDERS = [*os.get_exec_path(), "/usr/lib/erlang/bin", "/usr/local/lib/erlang/bin"]

_ON_LOCALHOST_ONLY = "-kernel inet_dist_use_interface {127,0,0,1}"
_FEW_RESOURCES = "+S 2:2 +A 4 +stbt u +sbwt none +sbwtdcpu none +sbwtdio none"


@dataclass(frozen=True)
class Programs:
    """Where an installed RabbitMQ has its programs."""

    server: str
    ctl: str
    epmd: str


def find_programs() -> Programs | None:
    """The programs of the RabbitMQ that this machine has; None where it has none."""
    server = _find("rabbitmq-server", _FOLDERS)
    ctl = _find("rabbitmqctl", _FOLDERS)
    epmd = _find("epmd", _EPMD_FOLDERS)
    return Programs(server, ctl, epmd) if server and ctl and epmd else None


def _find(program: str, folders: list[str]) -> str | None:
    return shutil.which(program, path=os.pathsep.join(folders))


class RabbitNode:
    """A node in a temporary folder, under one URL from its first start to its removal."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="mqjobs-rabbitmq-"))
        self._port, self._epmd_port, self._dist_port, self._ctl_port = free_ports(4)
        self._environment = self._write_folder()
        self._epmd: OwnProcess | None = None
        self._server: OwnProcess | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self._port}/"

    def start(self) -> None:
        """Start the node, and return when it answers; raises with its log where it does not."""
        if self._server is not None:
            raise ServerError("the broker runs already")
        epmd_command = [self._programs.epmd, "-port", str(self._epmd_port), "-address", HOST]
        self._epmd = OwnProcess(epmd_command, self._environment, self._folder / "epmd.log")
        wait_until(lambda: listens(self._epmd_port), _START_DEADLINE)
        self._server = server = OwnProcess(
            [self._programs.server], self._environment, self._folder / "server.log"
        )
        wait_until(lambda: answers_amqp(self._port) or not server.runs, _START_DEADLINE)
        if not (server.runs and answers_amqp(self._port)):
            tail = server.log_tail()
            self.kill()
            raise ServerError(
                f"the private RabbitMQ node did not start; the end of its log:\n{tail}"
            )

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate(_STOP_GRACE)
            self._server = None
        self._end_epmd()

    def kill(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server = None
        self._end_epmd()

    def forget(self) -> None:
        self.kill()
        shutil.rmtree(self._folder / "data")
        self.start()

    def rabbitmqctl(self, *args: str) -> str:
        """Run rabbitmqctl on the node; raises with what it printed where it fails."""
        command = [self._programs.ctl, "--quiet", *args]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise ServerError(f"rabbitmqctl {' '.join(args)} failed: {done.stderr or done.stdout}")
        return done.stdout

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end_epmd(self) -> None:
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd = None

    def _write_folder(self) -> dict[str, str]:
        """Write the node's configuration, and return the environment that leads to it."""
        folder = self._folder
        cookie = folder / ".erlang.cookie"
        cookie.write_text(uuid4().hex)
        cookie.chmod(0o400)
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "environment.conf").touch()
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = {HOST}:{self._port}\n"
            "disk_free_limit.absolute = 50MB\n"
            "vm_memory_high_watermark.absolute = 512MB\n"
            "raft.wal_max_size_bytes = 33554432\n"
        )
        return {
            "PATH": os.pathsep.join([*os.get_exec_path(), "/usr/sbin", "/usr/bin", "/bin"]),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
            "ERL_MAX_PORTS": "4096",
            "RABBITMQ_NODENAME": f"mqjobs-{folder.name[-8:]}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "server.pid"),
            "RABBITMQ_SERVER_ERL_ARGS": _FEW_RESOURCES,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ON_LOCALHOST_ONLY,
            "RABBITMQ_CTL_ERL_ARGS": _ON_LOCALHOST_ONLY,
            "RABBITMQ_CTL_DIST_PORT_MIN": str(self._ctl_port),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(self._ctl_port),
            # The start script becomes the server instead of waiting for it; signals get there.
            "detached": "true",
        }
