"""Installing RabbitMQ's programs with Debian's package tool, without a broker that then runs."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers.broker import ServerError

_POLICY = Path("/usr/sbin/policy-rc.d")
_START_NOTHING = "#!/bin/sh\nexit 101\n"


def can_install() -> bool:
    """Whether this process may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install_rabbitmq() -> None:
    """Install the programs; raises with the package tool's last words where that fails."""
    with _services_stay_down():
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", "rabbitmq-server")


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """Packages ask this file whether they may start services; one that is there is left alone."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_START_NOTHING)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _apt_get(*args: str) -> None:
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *args]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode != 0:
        last_words = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise ServerError(f"'{' '.join(command)}' failed:\n{last_words}")
