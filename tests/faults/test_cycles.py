"""What is started and stopped leaves nothing behind."""

from pathlib import Path

import pytest

from tests.faults.arena import OVER_POSTGRES, arena
from tests.faults.cycles import left_by_all
from tests.support.servers import Broker

ROUNDS = 2


@pytest.mark.parametrize("over", ["rabbitmq", "postgres"])
async def test_what_is_started_and_stopped_ten_at_once_and_again_leaves_nothing_behind(
    tmp_path: Path, postgres_url: str, own_broker: Broker, over: str
) -> None:
    bus = own_broker if over == "rabbitmq" else OVER_POSTGRES
    async with arena(tmp_path, postgres=postgres_url, broker=bus) as place:
        left = await left_by_all(place, ROUNDS)

    for name, after in left.after.items():
        assert after.is_within(left.before[name]), name
    assert sum(left.channels_after) <= sum(left.channels_before) + 1  # one that puts questions
    assert len(left.channels_after) == len(left.channels_before)
    assert left.connections == 0
