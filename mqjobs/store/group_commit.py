"""Many small writes as few large ones: calls that meet share a transaction, and each gets its own answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

import asyncpg
import structlog

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.model.tally import Measure, Tally
from mqjobs.store.outages import LONG, patiently

log = structlog.get_logger(__name__)

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


class _RowsLocked(Exception):
    """Somebody holds rows that a batch needs, and does not let them go."""


@dataclass(slots=True, eq=False)
class _Call(Generic[RequestT, AnswerT]):
    request: RequestT
    answer: asyncio.Future[AnswerT]
    since: float


class GroupCommit(Generic[RequestT, AnswerT]):
    """Collects calls while the previous flush is in flight; flushes at once when idle.

    `flush` gets the requests of a batch and returns their answers in the same order, all in one transaction. Where
    it raises for the data, the batch is split until the bad request stands alone: that one gets the error, the
    others their answers. While the database is away a flush is tried again (for `patience`; None: until it is back),
    so `flush` has to bear being run again after a commit whose answer was lost.

    Where a flush gives up waiting for locks, `locked` is asked which requests' rows are in somebody's hands. Those
    are set aside and flushed apart from the others, which go on.

    `run` does the work and must be running for calls to be answered. Flushes that succeed are measured in `tally`.
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[Sequence[RequestT]], Awaitable[Sequence[AnswerT]]],
        *,
        locked: Callable[[Sequence[RequestT]], Awaitable[Sequence[bool]]] | None = None,
        limit: int = 500,
        patience: timedelta | None = None,
    ) -> None:
        self.tally = Tally()
        self._name = name
        self._flush = flush
        self._locked = locked
        self._limit = limit
        self._patience = patience
        self._calls: set[_Call[RequestT, AnswerT]] = set()
        self._waiting: list[_Call[RequestT, AnswerT]] = []
        self._aside: list[_Call[RequestT, AnswerT]] = []
        self._wake = asyncio.Event()
        self._wake_aside = asyncio.Event()
        self._meets_locks = False
        self._has_told = False
        self._closing = False
        self._is_over = False

    async def __call__(self, request: RequestT) -> AnswerT:
        """The answer to this request, once it is committed. A caller that is cancelled leaves the write to happen."""
        if self._closing:
            raise DatabaseUnavailable(f"{self._name} is closed")
        loop = asyncio.get_running_loop()
        call: _Call[RequestT, AnswerT] = _Call(request, loop.create_future(), loop.time())
        self._calls.add(call)
        self._waiting.append(call)
        self._wake.set()
        return await call.answer

    @property
    def longest_wait(self) -> timedelta:
        """How long the call that has waited the longest has waited; nothing where none waits."""
        now = asyncio.get_running_loop().time()
        return timedelta(seconds=max((now - call.since for call in self._calls), default=0))

    async def run(self) -> None:
        """Flush until closed; then flush what waits, and return."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_missed(self._flush_waiting()))
                group.create_task(_missed(self._flush_aside()))
        finally:
            self._closing = True
            self._refuse(
                list(self._calls),
                DatabaseUnavailable(f"{self._name} stopped before its answer came"),
            )

    async def _flush_waiting(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self._waiting[: self._limit]
            del self._waiting[: self._limit]
            if self._meets_locks:
                batch = await self._free_of(batch)
            await self._settle(batch)
        self._is_over = True
        self._wake_aside.set()

    async def _flush_aside(self) -> None:
        """The same for those whose rows were locked: here, nobody else waits with them."""
        while self._aside or not self._is_over:
            if not self._aside:
                self._meets_locks = self._has_told = False
                self._wake_aside.clear()
                await self._wake_aside.wait()
                continue
            batch = self._aside[: self._limit]
            del self._aside[: self._limit]
            await self._settle(batch)

    def close(self) -> None:
        """Accept no more calls; `run` returns when the last is answered."""
        self._closing = True
        self._wake.set()

    async def _settle(self, batch: list[_Call[RequestT, AnswerT]]) -> None:
        while batch:
            try:
                answers = await self._ask(batch)
            except _RowsLocked:
                batch = await self._free_of(batch)
                continue
            except DatabaseUnavailable as error:
                self._refuse(batch, error)
            except Exception as error:  # whatever it is, it is the callers' to handle
                await self._settle_apart(batch, error)
            else:
                self._answer(batch, answers)
            return

    async def _ask(self, batch: Sequence[_Call[RequestT, AnswerT]]) -> Sequence[AnswerT]:
        requests = [call.request for call in batch]
        return await patiently(
            self._name, lambda: self._flush_once(requests), patience=self._patience
        )

    async def _flush_once(self, requests: Sequence[RequestT]) -> Sequence[AnswerT]:
        began = asyncio.get_running_loop().time()
        try:
            answers = await self._flush(requests)
        except asyncpg.LockNotAvailableError as error:
            if self._locked is None:
                raise
            raise _RowsLocked from error
        seconds = asyncio.get_running_loop().time() - began
        self.tally.observe(Measure.FLUSH_SECONDS, seconds, kind=self._name)
        self.tally.observe(Measure.FLUSH_SIZE, len(requests), kind=self._name)
        return answers

    async def _settle_apart(self, batch: list[_Call[RequestT, AnswerT]], error: Exception) -> None:
        if len(batch) == 1:
            self._refuse(batch, error)
            return
        middle = len(batch) // 2
        await self._settle(batch[:middle])
        await self._settle(batch[middle:])

    async def _free_of(
        self, batch: list[_Call[RequestT, AnswerT]]
    ) -> list[_Call[RequestT, AnswerT]]:
        """Those that nobody holds up; the others are set aside, or told so where their patience is over."""
        ask = self._locked
        assert ask is not None
        requests = [call.request for call in batch]
        try:
            found = await patiently(self._name, lambda: ask(requests), patience=self._patience)
        except DatabaseUnavailable as error:
            self._refuse(batch, error)
            return []
        except Exception:  # one that cannot even be looked for: the flush finds out which
            return batch
        held_up = [call for call, is_locked in zip(batch, found, strict=True) if is_locked]
        self._set_aside(held_up)
        return [call for call, is_locked in zip(batch, found, strict=True) if not is_locked]

    def _set_aside(self, calls: Sequence[_Call[RequestT, AnswerT]]) -> None:
        now = asyncio.get_running_loop().time()
        for call in calls:
            waited = timedelta(seconds=now - call.since)
            if self._patience is not None and waited >= self._patience:
                why = f"PostgreSQL has rows locked, {self._name}: somebody holds the job in a transaction of theirs"
                self._refuse([call], DatabaseUnavailable(why))
                continue
            if waited >= LONG and not self._has_told:
                self._has_told = True
                log.warning("rows_locked", waiting=self._name, request=repr(call.request))
            self._aside.append(call)
            self._meets_locks = True
            self._wake_aside.set()

    def _answer(
        self, calls: Sequence[_Call[RequestT, AnswerT]], answers: Sequence[AnswerT]
    ) -> None:
        for call, answer in zip(calls, answers, strict=True):
            self._calls.discard(call)
            if not call.answer.done():
                call.answer.set_result(answer)

    def _refuse(self, calls: Sequence[_Call[RequestT, AnswerT]], error: Exception) -> None:
        for call in calls:
            self._calls.discard(call)
            if not call.answer.done():
                call.answer.set_exception(error)


async def _missed(work: Coroutine[Any, Any, None]) -> None:
    """A group of tasks takes no notice of one that a driver cancels: its callers would wait for ever."""
    try:
        await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("cancelled while callers waited") from error
