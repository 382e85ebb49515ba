"""Which transport the settings name."""

import pytest

from mqjobs.app.settings import Settings
from mqjobs.app.transports import has_broker


@pytest.mark.parametrize(
    ("url", "has_one"),
    [(None, False), ("postgres:", False), ("amqp://mq/", True), ("amqps://mq/", True)],
)
def test_amqp_addresses_are_of_brokers(url: str | None, has_one: bool) -> None:
    assert has_broker(Settings(broker_url=url)) is has_one
