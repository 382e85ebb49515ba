"""Group commit: few large writes, and to each caller its own answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.store.group_commit import GroupCommit
from tests.support.waiting import eventually


class Flushes:
    """Squares numbers in batches; refuses what is bad or locked, waits where it is held, is away while it is away."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.bad: set[int] = set()
        self.is_away = False
        self.locked: set[int] = set()
        self.waits_for_locks = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, requests: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(requests))
        await self.open.wait()
        if self.is_away:
            raise ConnectionRefusedError("nobody there")
        if self.locked & set(requests):
            self.waits_for_locks += 1
            await asyncio.sleep(0.01)
            raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
        for request in requests:
            if request in self.bad:
                raise ValueError(f"{request} is bad")
        return [request * request for request in requests]

    async def are_locked(self, requests: Sequence[int]) -> Sequence[bool]:
        for request in requests:
            if request in self.bad:
                raise ValueError(f"{request} is bad")
        return [request in self.locked for request in requests]


@asynccontextmanager
async def running(
    flushes: Flushes, *, limit: int = 500, patience: timedelta | None = None
) -> AsyncIterator[GroupCommit[int, int]]:
    commit = GroupCommit[int, int](
        "squares", flushes, locked=flushes.are_locked, limit=limit, patience=patience
    )
    async with asyncio.TaskGroup() as group:
        work = group.create_task(commit.run())
        try:
            yield commit
        finally:
            commit.close()
            await asyncio.wait([work], timeout=1)
            work.cancel()


async def answers(commit: GroupCommit[int, int], *requests: int) -> list[int | BaseException]:
    """What each of these calls, made at the same time, is answered."""

    async def call(request: int) -> int | BaseException:
        try:
            return await commit(request)
        except Exception as error:
            return error

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(call(request)) for request in requests]
    return [each.result() for each in calls]


async def test_a_call_that_comes_alone_is_flushed_at_once() -> None:
    flushes = Flushes()
    async with running(flushes) as commit:
        assert await commit(3) == 9
        assert await commit(4) == 16

    assert flushes.batches == [[3], [4]]


async def test_calls_that_come_while_a_flush_is_in_flight_share_the_next_one() -> None:
    flushes = Flushes()
    flushes.open.clear()
    async with running(flushes) as commit, asyncio.TaskGroup() as group:
        first = group.create_task(commit(1))
        await eventually(lambda: flushes.batches)
        others = group.create_task(answers(commit, 2, 3, 4))
        await eventually(lambda: len(commit._waiting) == 3)
        flushes.open.set()

    assert (first.result(), others.result()) == (1, [4, 9, 16])
    assert flushes.batches == [[1], [2, 3, 4]]


async def test_a_batch_has_its_limit() -> None:
    flushes = Flushes()
    async with running(flushes, limit=2) as commit:
        assert await answers(commit, 1, 2, 3, 4, 5) == [1, 4, 9, 16, 25]

    assert [len(batch) for batch in flushes.batches] == [2, 2, 1]


async def test_a_bad_request_fails_alone_and_the_others_have_their_answers() -> None:
    flushes = Flushes()
    flushes.bad.add(3)
    async with running(flushes) as commit:
        one, two, three, four = await answers(commit, 1, 2, 3, 4)

    assert (one, two, four) == (1, 4, 16)
    assert str(three) == "3 is bad"


@settings(max_examples=30)
@given(
    requests=st.lists(st.integers(0, 99), unique=True, max_size=20), bad=st.sets(st.integers(0, 99))
)
async def test_whoever_is_bad_and_however_many_each_has_its_own_answer(
    requests: list[int], bad: set[int]
) -> None:
    flushes = Flushes()
    flushes.bad = bad
    async with running(flushes) as commit:
        answered = await answers(commit, *requests)

    for request, answer in zip(requests, answered, strict=True):
        assert (str(answer) if request in bad else answer) == (
            f"{request} is bad" if request in bad else request * request
        )


async def test_after_an_outage_the_calls_that_waited_are_answered() -> None:
    flushes = Flushes()
    flushes.is_away = True
    async with running(flushes) as commit, asyncio.TaskGroup() as group:
        waiting = group.create_task(answers(commit, 1, 2))
        await eventually(lambda: len(flushes.batches) >= 2)
        flushes.is_away = False

    assert waiting.result() == [1, 4]


async def test_an_outage_that_is_longer_than_the_patience_is_told_and_the_next_call_tries_anew() -> (
    None
):
    flushes = Flushes()
    flushes.is_away = True
    async with running(flushes, patience=timedelta(0)) as commit:
        with pytest.raises(
            DatabaseUnavailable, match="PostgreSQL is away, squares was not written"
        ):
            await commit(1)
        flushes.is_away = False

        assert await commit(2) == 4


async def test_a_caller_that_is_cancelled_leaves_its_write_to_happen_and_disturbs_nobody() -> None:
    flushes = Flushes()
    flushes.open.clear()
    async with running(flushes) as commit, asyncio.TaskGroup() as group:
        leaving, staying = group.create_task(commit(1)), group.create_task(commit(2))
        await eventually(lambda: flushes.batches)
        leaving.cancel()
        await eventually(leaving.done)
        flushes.open.set()

    assert leaving.cancelled()
    assert staying.result() == 4
    assert flushes.batches == [[1, 2]]


async def test_an_error_that_no_caller_waits_for_any_more_is_nobodys() -> None:
    flushes = Flushes()
    flushes.bad.add(1)
    flushes.open.clear()
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, complaint: complaints.append(complaint))
    async with running(flushes) as commit, asyncio.TaskGroup() as group:
        leaving = group.create_task(commit(1))
        await eventually(lambda: flushes.batches)
        leaving.cancel()
        await eventually(leaving.done)
        flushes.open.set()

    assert complaints == []


async def test_closing_writes_what_waits_and_takes_no_more() -> None:
    flushes = Flushes()
    flushes.open.clear()
    async with running(flushes, limit=1) as commit, asyncio.TaskGroup() as group:
        waiting = group.create_task(answers(commit, 1, 2))
        await eventually(lambda: flushes.batches)
        commit.close()
        with pytest.raises(DatabaseUnavailable, match="squares is closed"):
            await commit(3)
        flushes.open.set()

    assert waiting.result() == [1, 4]
    assert flushes.batches == [[1], [2]]


async def test_an_idle_one_that_is_closed_ends_at_once() -> None:
    commit = GroupCommit[int, int]("squares", Flushes())

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        work = group.create_task(commit.run())
        await asyncio.wait([work], timeout=0.01)
        commit.close()


async def test_one_that_is_abandoned_tells_every_caller_so_and_none_waits_for_ever() -> None:
    flushes = Flushes()
    flushes.open.clear()
    commit = GroupCommit[int, int]("squares", flushes, limit=1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        work = group.create_task(commit.run())
        waiting = group.create_task(answers(commit, 1, 2))
        await eventually(lambda: flushes.batches)
        work.cancel()

    assert [str(answer) for answer in waiting.result()] == [
        "squares stopped before its answer came"
    ] * 2
    with pytest.raises(DatabaseUnavailable, match="squares is closed"):
        await commit(3)


async def test_a_flush_that_answers_too_few_ends_the_work_loudly() -> None:
    async def forgetful(requests: Sequence[int]) -> Sequence[int]:
        return []

    commit = GroupCommit[int, int]("squares", forgetful)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(commit.run())
            group.create_task(commit(1))

    with pytest.raises(ExceptionGroup) as failed:
        await work()

    assert failed.group_contains(ValueError)


async def test_a_flush_that_a_driver_cancels_ends_the_work_loudly() -> None:
    """Or all would wait for answers that nobody gives."""

    async def cancelled(requests: Sequence[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    commit = GroupCommit[int, int]("squares", cancelled)
    with pytest.raises(ExceptionGroup) as caught:
        await both(commit)

    assert caught.value.subgroup(RuntimeError) is not None


async def both(commit: GroupCommit[int, int]) -> None:
    """It runs, and somebody calls."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(commit.run())
        await commit(1)


async def test_those_whose_rows_are_locked_wait_alone_until_they_are_free() -> None:
    flushes = Flushes()
    flushes.locked = {2, 4}
    async with running(flushes) as commit, asyncio.TaskGroup() as group:
        held_up = group.create_task(answers(commit, 2, 4))
        assert await answers(commit, 1, 3) == [1, 9]
        assert await answers(commit, 5, 6) == [25, 36]
        assert not held_up.done()
        flushes.locked = {4}
        await eventually(lambda: [2] in flushes.batches)
        assert not held_up.done()
        flushes.locked = set()

    assert held_up.result() == [4, 16]


async def test_the_others_wait_for_no_lock_once_it_is_known() -> None:
    flushes = Flushes()
    flushes.locked = {2}
    async with running(flushes) as commit, asyncio.TaskGroup() as group:
        group.create_task(commit(2))
        await eventually(lambda: flushes.waits_for_locks)
        for number in range(10, 20):
            await answers(commit, number, 2 * number)
        with_locked = [batch for batch in flushes.batches if 2 in batch]
        assert with_locked == [[2]] * len(with_locked)
        flushes.locked = set()


async def test_a_bad_request_among_those_that_are_looked_at_for_locks_fails_alone() -> None:
    """What nobody can ask for cannot be looked for, either."""
    flushes = Flushes()
    flushes.locked.add(1)
    flushes.bad.add(3)
    async with running(flushes) as commit, asyncio.TaskGroup() as group:
        held_up = group.create_task(commit(1))
        await eventually(lambda: commit._aside or flushes.waits_for_locks > 1)
        two, three, four = await answers(commit, 2, 3, 4)
        flushes.locked.clear()

    assert (two, four) == (4, 16)
    assert str(three) == "3 is bad"
    assert held_up.result() == 1


async def test_who_has_patience_is_told_of_the_lock_when_it_is_over() -> None:
    flushes = Flushes()
    flushes.locked = {2}
    async with running(flushes, patience=timedelta(seconds=0.1)) as commit:
        with pytest.raises(DatabaseUnavailable, match="has rows locked, squares: somebody holds"):
            await commit(2)
        assert await commit(3) == 9


async def test_closing_waits_for_those_that_were_set_aside() -> None:
    flushes = Flushes()
    flushes.locked = {2}
    async with running(flushes) as commit, asyncio.TaskGroup() as group:
        waiting = group.create_task(commit(2))
        await eventually(lambda: flushes.waits_for_locks)
        commit.close()
        flushes.locked = set()

    assert waiting.result() == 4
