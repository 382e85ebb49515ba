"""Which RabbitMQ the tests run on: the first that this machine can offer."""

import atexit
import os

from tests.support.servers import apt, docker
from tests.support.servers.broker import Broker, GivenBroker, ServerError
from tests.support.servers.rabbitmq import Programs, RabbitNode, find_programs

AMQP_URL_VARIABLE = "MQJOBS_TEST_AMQP_URL"


def open_broker() -> Broker:
    """A broker that is not started yet; raises, and says what to do, where none can be had.

    Its owner removes it; what its owner forgets ends with the process.
    """
    if url := os.environ.get(AMQP_URL_VARIABLE):
        return GivenBroker(url)
    return open_private_broker()


def open_private_broker() -> Broker:
    """One that can come to harm: never the one that is given; else like `open_broker`."""
    broker = _first_private_broker()
    atexit.register(broker.remove)
    return broker


def prepare_broker() -> None:
    """Fetch or install what the broker needs, so that starting one takes seconds from then on."""
    open_broker().remove()


def _first_private_broker() -> Broker:
    if docker.engine_works() and docker.ensure_image():
        return docker.DockerBroker()
    return RabbitNode(_programs())


def _programs() -> Programs:
    if programs := find_programs():
        return programs
    if apt.can_install():
        apt.install_rabbitmq()
        if programs := find_programs():
            return programs
    raise ServerError(
        "no RabbitMQ to test on: "
        f"set {AMQP_URL_VARIABLE}=amqp://user:password@host/ to one that runs, "
        "start a Docker engine, "
        "install rabbitmq-server with your system's package tool, "
        "or run this once as root on Debian or Ubuntu"
    )
