"""What tests can do with a RabbitMQ broker, wherever it comes from."""

from typing import Protocol


class ServerError(Exception):
    """A server could not be had, started or ended; the text says what to do."""


class Broker(Protocol):
    """A broker that can be ended and started again, with its data and under the same URL."""

    @property
    def url(self) -> str:
        """Where it answers: amqp://…"""

    def start(self) -> None:
        """Start it, and return when it answers AMQP."""

    def stop(self) -> None:
        """End it in good order; its data stays."""

    def kill(self) -> None:
        """End it at once, as a power cut would; its data stays."""

    def forget(self) -> None:
        """Lose all its data, and start with none."""

    def rabbitmqctl(self, *args: str) -> str:
        """Run the broker's own command line on it, and return what it printed."""

    def remove(self) -> None:
        """End it and everything that it left behind."""


class GivenBroker:
    """A broker that somebody else runs: it can be used, and nothing more."""

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self) -> None:
        """It runs already."""

    def remove(self) -> None:
        """It is not ours to end."""

    def stop(self) -> None:
        raise self._not_ours("stopped")

    def kill(self) -> None:
        raise self._not_ours("killed")

    def forget(self) -> None:
        raise self._not_ours("robbed of its data")

    def rabbitmqctl(self, *args: str) -> str:
        raise self._not_ours(f"told to {' '.join(args)!r}")

    def _not_ours(self, what: str) -> ServerError:
        return ServerError(
            f"the broker of MQJOBS_TEST_AMQP_URL cannot be {what} from here; "
            "unset the variable, and the tests start one of their own"
        )
