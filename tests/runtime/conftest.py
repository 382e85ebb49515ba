"""What runs beside processors, on a database of each test's own."""

from collections.abc import AsyncIterator

import pytest

from tests.support.answering import AnsweringTransport
from tests.support.surroundings import Surroundings, surroundings


@pytest.fixture
async def around(database_url: str) -> AsyncIterator[Surroundings]:
    """The parts of a consumer that nobody runs."""
    async with surroundings(database_url) as opened:
        yield opened


@pytest.fixture
def broker_answers() -> AnsweringTransport:
    """What the broker answers."""
    return AnsweringTransport()


@pytest.fixture
async def beside_broker(
    database_url: str, broker_answers: AnsweringTransport
) -> AsyncIterator[Surroundings]:
    """The same parts where messages go to a broker."""
    async with surroundings(database_url, transport=lambda _: broker_answers) as opened:
        yield opened
