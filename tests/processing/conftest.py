"""What processors run in, on a database of each test's own."""

from collections.abc import AsyncIterator

import pytest

from tests.support.surroundings import Surroundings, surroundings


@pytest.fixture
async def around(database_url: str) -> AsyncIterator[Surroundings]:
    """The parts of a consumer that nobody runs."""
    async with surroundings(database_url) as opened:
        yield opened
