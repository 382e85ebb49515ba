"""What came in is taken by urgency, then in order."""

import asyncio

from mqjobs.model.priority import Priority
from mqjobs.transport.arrivals import Arrivals


async def test_the_most_urgent_is_taken_first_and_equals_in_order() -> None:
    arrivals = Arrivals[str]()
    for name, priority in (("a", Priority.LOW), ("b", Priority.HIGH), ("c", Priority.HIGH)):
        arrivals.put(priority, name)
    assert [await arrivals.take() for _ in range(3)] == ["b", "c", "a"]


async def test_who_waits_gets_what_comes() -> None:
    arrivals = Arrivals[str]()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        taking = group.create_task(arrivals.take())
        await asyncio.sleep(0)
        arrivals.put(Priority.NORMAL, "here")
    assert taking.result() == "here"


async def test_closing_ends_it_when_nothing_is_left() -> None:
    arrivals = Arrivals[str]()
    arrivals.put(Priority.NORMAL, "left")
    arrivals.close()
    assert arrivals.is_closed
    assert await arrivals.take() == "left"
    assert await arrivals.take() is None


async def test_clearing_hands_out_what_nobody_took_in_order() -> None:
    arrivals = Arrivals[str]()
    for name, priority in (("a", Priority.LOW), ("b", Priority.HIGH), ("c", Priority.LOW)):
        arrivals.put(priority, name)
    assert arrivals.clear() == ["b", "a", "c"]
    assert arrivals.clear() == []


async def test_removing_leaves_the_others_in_order() -> None:
    arrivals = Arrivals[str]()
    for name, priority in (("a", Priority.LOW), ("b1", Priority.HIGH), ("c", Priority.HIGH)):
        arrivals.put(priority, name)
    arrivals.put(Priority.VERY_HIGH, "b2")
    assert sorted(arrivals.remove(lambda name: name.startswith("b"))) == ["b1", "b2"]
    assert arrivals.clear() == ["c", "a"]
