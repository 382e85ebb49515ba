"""Calls end with what they are made on."""

import asyncio
from datetime import timedelta

import pytest

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.transport.rabbitmq.driver import in_our_words
from mqjobs.transport.rabbitmq.lifeline import Lifeline


async def wait_under(lifeline: Lifeline, patience: timedelta | None = None) -> None:
    """A call that never ends by itself."""
    async with lifeline.call(patience):
        await asyncio.Event().wait()


async def test_calls_end_when_the_line_is_cut_also_those_on_its_branches() -> None:
    lifeline = Lifeline()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for line in (lifeline, lifeline.branch(), lifeline.branch().branch()):
            group.create_task(is_cut_off(line))
        await asyncio.sleep(0)
        lifeline.cut()


async def is_cut_off(lifeline: Lifeline) -> None:
    """The call ends, and the line says why."""
    with pytest.raises(BrokerUnavailable, match="cut"):
        await wait_under(lifeline)


async def test_a_branch_is_cut_alone() -> None:
    lifeline = Lifeline()
    lifeline.branch().cut()
    assert not lifeline.is_cut
    async with lifeline.call():
        pass


async def test_no_call_begins_after_the_cut() -> None:
    lifeline = Lifeline()
    lifeline.cut()
    for line in (lifeline, lifeline.branch()):
        with pytest.raises(BrokerUnavailable, match="gone"):
            await wait_under(line)


async def test_patience_ends_a_call_too() -> None:
    with pytest.raises(BrokerUnavailable, match="no answer in time"):
        await wait_under(Lifeline(), timedelta(milliseconds=1))


async def test_who_wants_to_know_is_told_once_also_when_it_is_late() -> None:
    lifeline, told = Lifeline(), list[str]()
    lifeline.when_cut(lambda: told.append("early"))
    lifeline.cut()
    lifeline.cut()
    lifeline.when_cut(lambda: told.append("late"))
    assert told == ["early", "late"]


async def test_what_the_driver_cancels_is_an_outage_also_where_a_task_group_failed_before() -> None:
    async def fail() -> None:
        raise ValueError

    with pytest.raises(ExceptionGroup):
        async with (
            asyncio.TaskGroup() as group
        ):  # before Python 3.13 it leaves a cancellation behind
            group.create_task(fail())

    with pytest.raises(BrokerUnavailable):
        async with in_our_words(Lifeline()):
            raise asyncio.CancelledError
