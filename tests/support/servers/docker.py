"""A RabbitMQ broker in a container of its own."""

import subprocess
from datetime import timedelta
from uuid import uuid4

from tests.support.servers.broker import ServerError
from tests.support.servers.network import HOST, answers_amqp, free_ports, wait_until

IMAGE = "rabbitmq:4-management"

_START_DEADLINE = timedelta(seconds=90)
_PULL_DEADLINE = timedelta(minutes=10)


def engine_works() -> bool:
    """Whether a container engine answers."""
    try:
        return bool(_docker("info", "--format", "{{.ServerVersion}}").strip())
    except ServerError:
        return False


def ensure_image() -> bool:
    """Fetch the broker's image where it is missing; False where it cannot be had."""
    try:
        _docker("image", "inspect", IMAGE)
    except ServerError:
        try:
            _docker("pull", "--quiet", IMAGE, deadline=_PULL_DEADLINE)
        except ServerError:
            return False
    return True


class DockerBroker:
    """A container under one name and URL from its first start to its removal."""

    def __init__(self) -> None:
        self._name = f"mqjobs-{uuid4().hex[:12]}"
        (self._port,) = free_ports(1)
        self._exists = False

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self._port}/"

    def start(self) -> None:
        """Start it, and return when the broker answers; raises with its log where it does not."""
        if self._exists:
            _docker("start", self._name)
        else:
            published = f"{HOST}:{self._port}:5672"
            _docker(
                "run",
                "--detach",
                "--name",
                self._name,
                "--hostname",
                "broker",
                "--publish",
                published,
                IMAGE,
            )
            self._exists = True
        if not wait_until(lambda: answers_amqp(self._port), _START_DEADLINE):
            tail = _docker("logs", "--tail", "30", self._name)
            self.remove()
            raise ServerError(
                f"RabbitMQ did not start in its container; the end of its log:\n{tail}"
            )

    def stop(self) -> None:
        _docker("stop", "-t", "30", self._name)

    def kill(self) -> None:
        _docker("kill", self._name)

    def forget(self) -> None:
        self.remove()
        self.start()

    def rabbitmqctl(self, *args: str) -> str:
        return _docker("exec", self._name, "rabbitmqctl", "--quiet", *args)

    def remove(self) -> None:
        if self._exists:
            _docker("rm", "--force", "--volumes", self._name)
            self._exists = False


def _docker(*args: str, deadline: timedelta = timedelta(seconds=60)) -> str:
    try:
        done = subprocess.run(
            ["docker", *args],
            capture_output=True,
            text=True,
            timeout=deadline.total_seconds(),
            check=True,
        )
    except FileNotFoundError:
        raise ServerError("there is no program 'docker' on this machine") from None
    except subprocess.CalledProcessError as error:
        raise ServerError(f"docker {args[0]} failed: {error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise ServerError(f"docker {args[0]} did not end within {deadline}") from None
    return done.stdout
