"""Many small writes as few large ones: calls that meet share a transaction, and each gets its own answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

import structlog

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.store.database import is_outage

log = structlog.get_logger(__name__)

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
    others their answers. While the database is away a flush is tried again until it is back, so `flush` has to
    bear being run again after a commit whose answer was lost.

    `run` does the work and must be running for calls to be answered.
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[Sequence[RequestT]], Awaitable[Sequence[AnswerT]]],
        *,
        limit: int = 500,
        pause: timedelta = timedelta(seconds=0.5),
    ) -> None:
        self._name = name
        self._flush = flush
        self._limit = limit
        self._pause = pause.total_seconds()
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
        return await asyncio.shield(call.answer)

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
        for call in [*self._in_flight, *self._waiting]:
            if not call.answer.done():
                call.answer.set_exception(
                    DatabaseUnavailable(f"{self._name} stopped before its answer came")
                )

    def close(self) -> None:
        """Accept no more calls; `run` returns when the last is answered."""
        self._closing = True
        self._wake.set()

    async def _settle(self, batch: list[_Call[RequestT, AnswerT]]) -> None:
        try:
            answers = await self._flush_when_possible([call.request for call in batch])
        except Exception as error:  # noqa: BLE001  whatever it is, it is the callers' to handle
            await self._settle_apart(batch, error)
            return
        for call, answer in zip(batch, answers, strict=True):
            if not call.answer.done():
                call.answer.set_result(answer)

    async def _settle_apart(self, batch: list[_Call[RequestT, AnswerT]], error: Exception) -> None:
        if len(batch) == 1:
            if not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        middle = len(batch) // 2
        await self._settle(batch[:middle])
        await self._settle(batch[middle:])

    async def _flush_when_possible(self, requests: Sequence[RequestT]) -> Sequence[AnswerT]:
        away = False
        while True:
            try:
                answers = await self._flush(requests)
            except Exception as error:
                if not is_outage(error):
                    raise
                if not away:
                    log.warning("database_away", waiting=self._name, error=str(error))
                away = True
                await asyncio.sleep(self._pause)
            else:
                if away:
                    log.info("database_back", waiting=self._name)
                return answers
