"""Stages for scenarios: over the Postgres transport, and over both where the transport matters."""

import pytest

from tests.support.amqp import Declared
from tests.support.consuming import Stage


@pytest.fixture
def stage(database_url: str) -> Stage:
    """Consumers on a database of their own, with its message table for queues."""
    return Stage(database_url)


@pytest.fixture
def amqp_stage(
    database_url: str, amqp_url: str, amqp_prefix: str, amqp_declared: Declared
) -> Stage:
    """Consumers on a database of their own and the shared broker."""
    return Stage(database_url, amqp_url, amqp_prefix, amqp_declared)


@pytest.fixture(
    params=[
        pytest.param("stage", id="postgres", marks=pytest.mark.postgres),
        pytest.param("amqp_stage", id="rabbitmq", marks=pytest.mark.rabbitmq),
    ]
)
def either(request: pytest.FixtureRequest) -> Stage:
    """Each of the two in turn."""
    found: Stage = request.getfixturevalue(request.param)
    return found
