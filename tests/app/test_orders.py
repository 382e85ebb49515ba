"""Orders: the first is to drain, the second to stop at once, whoever gives them."""

import asyncio
import os
import signal

import pytest

from mqjobs.app.orders import Orders
from tests.support.waiting import eventually


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def orders(told: list[str]) -> Orders:
    orders = Orders()
    orders.when_draining(lambda: told.append("drain"))
    return orders


async def get(number: signal.Signals) -> None:
    """This process is sent the signal, and has handled it."""
    heard = asyncio.Event()
    os.kill(os.getpid(), number)
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, heard.set)
    await heard.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_is_to_drain_and_the_second_to_stop_at_once(
    orders: Orders, told: list[str], number: signal.Signals
) -> None:
    with orders.heard():
        os.kill(os.getpid(), number)
        await eventually(orders.drain.is_set)
        assert not orders.at_once.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(orders.at_once.is_set)

    assert told == ["drain"]


async def test_sigquit_is_to_stop_at_once(orders: Orders, told: list[str]) -> None:
    with orders.heard():
        os.kill(os.getpid(), signal.SIGQUIT)
        await eventually(orders.at_once.is_set)

    assert orders.drain.is_set()
    assert told == ["drain"]


async def test_a_signal_after_another_kind_of_order_is_not_the_second(
    orders: Orders, told: list[str]
) -> None:
    with orders.heard():
        orders.begin_draining("another")
        await get(signal.SIGTERM)
        assert not orders.at_once.is_set()
        await get(signal.SIGTERM)

    assert orders.at_once.is_set()
    assert told == ["drain"]


async def test_an_order_that_is_repeated_is_the_same_order(orders: Orders, told: list[str]) -> None:
    orders.begin_draining("one")
    orders.begin_draining("the same")
    orders.stop_at_once("one")
    orders.stop_at_once("the same")

    assert told == ["drain"]


async def test_who_need_not_be_told_any_more_is_not(orders: Orders, told: list[str]) -> None:
    orders.when_draining(None)
    orders.begin_draining("now")

    assert told == []


async def test_signals_are_those_of_the_process_again_after_the_block(orders: Orders) -> None:
    before = signal.getsignal(signal.SIGTERM)

    with orders.heard():
        pass

    assert signal.getsignal(signal.SIGTERM) in {before, signal.SIG_DFL}
