"""Many small writes as few large ones: calls that meet share a transaction, and each gets its own answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.store.outages import patiently

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


@dataclass(slots=True)
class _Call(Generic[RequestT, AnswerT]):
    request: RequestT
    answer: asyncio.Future[AnswerT]


class GroupCommit(Generic[RequestT, AnswerT]):
    """Collects calls while the previous flush is in flight; flushes at once when idle.

    `flush` gets the requests of a batch and returns their answers in the same order, all in one transaction. Where
    it raises for the data, the batch is split until the bad request stands alone: that one gets the error, the
    others their answers. While the database is away a flush is tried again (for `patience`; None: until it is back),
    so `flush` has to bear being run again after a commit whose answer was lost.

    `run` does the work and must be running for calls to be answered.
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[Sequence[RequestT]], Awaitable[Sequence[AnswerT]]],
        *,
        limit: int = 500,
        patience: timedelta | None = None,
    ) -> None:
        self._name = name
        self._flush = flush
        self._limit = limit
        self._patience = patience
        self._waiting: list[_Call[RequestT, AnswerT]] = []
        self._in_flight: list[_Call[RequestT, AnswerT]] = []
        self._wake = asyncio.Event()
        self._closing = False

    async def __call__(self, request: RequestT) -> AnswerT:
        """The answer to this request, once it is committed. A caller that is cancelled leaves the write to happen."""
        if self._closing:
            raise DatabaseUnavailable(f"{self._name} is closed")
        call = _Call[RequestT, AnswerT](request, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._wake.set()
        try:
            return await asyncio.shield(call.answer)
        except asyncio.CancelledError:
            call.answer.add_done_callback(asyncio.Future.exception)
            raise

    async def run(self) -> None:
        """Flush until closed; then flush what waits, and return."""
        try:
            while self._waiting or not self._closing:
                if not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                self._in_flight = self._waiting[: self._limit]
                del self._waiting[: self._limit]
                await self._settle(self._in_flight)
        finally:
            self._closing = True
            self._abandon()

    def _abandon(self) -> None:
        error = DatabaseUnavailable(f"{self._name} stopped before its answer came")
        _refuse([*self._in_flight, *self._waiting], error)

    def close(self) -> None:
        """Accept no more calls; `run` returns when the last is answered."""
        self._closing = True
        self._wake.set()

    async def _settle(self, batch: list[_Call[RequestT, AnswerT]]) -> None:
        try:
            requests = [call.request for call in batch]
            answers = await patiently(
                self._name, lambda: self._flush(requests), patience=self._patience
            )
        except DatabaseUnavailable as error:
            _refuse(batch, error)
            return
        except Exception as error:  # whatever it is, it is the callers' to handle
            await self._settle_apart(batch, error)
            return
        for call, answer in zip(batch, answers, strict=True):
            if not call.answer.done():
                call.answer.set_result(answer)

    async def _settle_apart(self, batch: list[_Call[RequestT, AnswerT]], error: Exception) -> None:
        if len(batch) == 1:
            _refuse(batch, error)
            return
        middle = len(batch) // 2
        await self._settle(batch[:middle])
        await self._settle(batch[middle:])


def _refuse(calls: Sequence[_Call[RequestT, AnswerT]], error: Exception) -> None:
    for call in calls:
        if not call.answer.done():
            call.answer.set_exception(error)
