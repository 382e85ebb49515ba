"""The transport that may be opened before its broker is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from mqjobs.model.errors import BrokerUnavailable, ConfigurationError
from mqjobs.model.message import Binding
from mqjobs.model.tally import Tally
from mqjobs.transport import awaited as awaited_module
from mqjobs.transport.awaited import awaited
from mqjobs.transport.seam import Publication, Transport
from tests.support.answering import AnsweringTransport
from tests.support.envelopes import an_envelope
from tests.support.waiting import eventually

SHORT, LONG = timedelta(seconds=0.05), timedelta(seconds=30)


class Broker:
    """What is opened: away, refusing, or there."""

    def __init__(self) -> None:
        self.transport = AnsweringTransport()
        self.error: Exception | None = None
        self.is_open = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Transport]:
        await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error
        self.is_open = True
        try:
            yield self.transport
        finally:
            self.is_open = False


@pytest.fixture
def broker() -> Broker:
    return Broker()


async def test_a_broker_that_is_there_is_waited_for(broker: Broker) -> None:
    async with awaited(broker.open, at_most=LONG) as transport:
        assert transport.is_connected
        assert await transport.publish([an_envelope()]) == [Publication.CONFIRMED]
    assert not broker.is_open


async def test_without_one_everything_that_needs_it_says_so(broker: Broker) -> None:
    broker.error = BrokerUnavailable("away")
    async with awaited(broker.open, at_most=SHORT) as transport:
        assert transport.needs_relay
        assert not transport.is_connected
        transport.wake()
        for call in (transport.publish([an_envelope()]), transport.queue_states(["mail"])):
            with pytest.raises(BrokerUnavailable, match="since before this app was opened"):
                await call
        with pytest.raises(BrokerUnavailable):
            transport.inbox(["mail"], prefetch=1, consumer_id=uuid4())


async def test_one_that_comes_later_learns_first_what_was_to_be_declared(broker: Broker) -> None:
    broker.error = BrokerUnavailable("away")
    tally = Tally()
    async with awaited(broker.open, at_most=SHORT) as transport:
        await transport.declare([Binding("mail", "shop.price")])
        transport.count_in(tally)
        broker.error = None
        await eventually(lambda: transport.is_connected, what="the broker")
        assert broker.transport.declared == [Binding("mail", "shop.price")]
        assert broker.transport.tally is tally
        await transport.declare([Binding("mail", "shop.sold")])
        assert len(broker.transport.declared) == 2
        await transport.publish([an_envelope()])


async def test_a_refusal_at_the_beginning_is_an_error(broker: Broker) -> None:
    broker.error = ConfigurationError("wrong password")
    with pytest.raises(ConfigurationError, match="wrong password"):
        async with awaited(broker.open, at_most=LONG):
            pass


async def test_a_refusal_later_is_a_line_in_the_log_and_another_try(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaited_module, "PAUSE_AFTER_A_REFUSAL", SHORT)
    broker.error = BrokerUnavailable("away")
    with capture_logs() as lines:
        async with awaited(broker.open, at_most=SHORT) as transport:
            broker.error = ConfigurationError("wrong password")
            await eventually(lambda: any(line["event"] == "broker_refuses" for line in lines))
            broker.error = None
            await eventually(lambda: transport.is_connected, what="the broker")


async def test_an_error_of_the_block_comes_out_as_itself(broker: Broker) -> None:
    with pytest.raises(ZeroDivisionError):
        async with awaited(broker.open, at_most=LONG):
            raise ZeroDivisionError
    assert not broker.is_open
