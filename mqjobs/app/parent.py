"""The parent of a consumer daemon's processes: starts them, starts anew what has ended, and tells of the dead."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from mqjobs.app.child import Child, how_it_ended, start_child
from mqjobs.app.deaths import tell_of_death
from mqjobs.app.exits import Exit
from mqjobs.app.health import Health
from mqjobs.app.link import AT_ONCE, DRAIN
from mqjobs.app.orders import Orders
from mqjobs.app.settings import Settings
from mqjobs.model.tally import Count, Tally
from mqjobs.runtime.every import first_of

log = structlog.get_logger(__name__)

FOR_EVER = timedelta(days=3650)
FIRST_PAUSE = timedelta(seconds=0.1)
LONGEST_PAUSE = timedelta(seconds=30)
IN_HEALTH = timedelta(seconds=60)
BEYOND_GRACE = timedelta(seconds=15)
TO_STOP_AT_ONCE = timedelta(seconds=15)
HOPELESS = {Exit.USAGE}
ENDED_IN_ORDER = {Exit.OK, Exit.USAGE}
AWAITED = {Exit.BROKER, Exit.DATABASE}


class Parent:
    """Keeps so many processes running until it is told to drain; `words` are what `mqjobs` is started with in each.

    The first one goes ahead: what none of them could do it says alone, and the parent ends as it did.
    """

    def __init__(
        self, settings: Settings, words: Sequence[str], flags: Mapping[str, Any], orders: Orders
    ) -> None:
        self.children: dict[int, Child] = {}
        self.health = Health(settings.processes)
        self.processes = settings.processes
        self.tally = Tally()
        self._settings = settings
        self._words = words
        self._flags = flags
        self._orders = orders
        self._code = Exit.OK
        self._one_is_ahead = asyncio.Event()

    async def run(self) -> Exit:
        """Until told to drain, or until a child could not do its work; what to exit with."""
        async with asyncio.TaskGroup() as group:
            leading = group.create_task(self._lead())
            async with asyncio.TaskGroup() as keeping:
                for number in range(1, self.processes + 1):
                    keeping.create_task(self._keep(number, group))
            leading.cancel()
        return Exit.STOPPED if self._orders.at_once.is_set() else self._code

    async def _keep(self, number: int, beside: asyncio.TaskGroup) -> None:
        """One process after the other, under this number."""
        if number > 1:
            await first_of(FOR_EVER, self._one_is_ahead, self._orders.drain)
        pause = FIRST_PAUSE
        while (child := await self._start(number)) is not None:
            code = await self._live(child)
            if code not in ENDED_IN_ORDER:
                beside.create_task(self._tell_of_death(child))
            if self._orders.drain.is_set():
                self._note_end(code)
                return
            if self._is_hopeless(child, code):
                self._code = Exit(code)
                self._orders.begin_draining(f"process {number} cannot work")
                return
            if time.monotonic() - child.began >= IN_HEALTH.total_seconds():
                pause = FIRST_PAUSE
            await self._rest(child, code, pause)
            pause = FIRST_PAUSE if code == Exit.OK else min(2 * pause, LONGEST_PAUSE)

    async def _start(self, number: int) -> Child | None:
        """Where the system has no room for one more process it may have later; None: told to drain before that."""
        pause = FIRST_PAUSE
        while not self._orders.drain.is_set():
            try:
                return await start_child(number, self._words, self._flags)
            except OSError as error:
                why = str(error)
            log.error(
                "child_not_started", process=number, error=why, again_in_s=pause.total_seconds()
            )
            await first_of(pause, self._orders.drain)
            pause = min(2 * pause, LONGEST_PAUSE)
        return None

    async def _live(self, child: Child) -> int:
        """The whole life of one process; what it ended with."""
        number = child.number
        self.children[number] = child
        child.when_heard = partial(self.health.hear, number)
        log.info("child_started", process=number, child_pid=child.pid)
        if self._orders.drain.is_set():
            child.tell(AT_ONCE if self._orders.at_once.is_set() else DRAIN)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(child.listen())
            ahead = group.create_task(self._note_who_is_ahead(child))
            try:
                code = await child.ended()
            except BaseException:
                child.kill()
                raise
            ahead.cancel()
            await asyncio.wait([listening], timeout=1)
            listening.cancel()
        del self.children[number]
        self.health.forget(number)
        return code

    async def _note_who_is_ahead(self, child: Child) -> None:
        await child.has_consumed.wait()
        self._one_is_ahead.set()

    def _is_hopeless(self, child: Child, code: int) -> bool:
        """Whether it would end the same way if it were started again."""
        if code in HOPELESS:
            return not child.has_consumed.is_set()
        return code in AWAITED and not self._one_is_ahead.is_set()

    def _note_end(self, code: int) -> None:
        if code != Exit.OK and self._code is Exit.OK:
            self._code = Exit.FAILED

    async def _rest(self, child: Child, code: int, pause: timedelta) -> None:
        """A word on how it ended; and a while, so that what ends at once is not started for ever at once."""
        ended = log.bind(process=child.number, child_pid=child.pid, how=how_it_ended(code))
        if code == Exit.OK:
            ended.info("child_ended")
            return
        self.tally.add(Count.CHILDREN_LOST, kind=str(child.number))
        ended.warning("child_lost", again_in_s=pause.total_seconds())
        await first_of(pause, self._orders.drain)

    async def _tell_of_death(self, child: Child) -> None:
        if child.consumer_id is not None:
            await tell_of_death(self._settings, child.consumer_id, self.tally)

    async def _lead(self) -> None:
        """Orders are given on; who does not end in time is killed."""
        await self._orders.drain.wait()
        if not self._orders.at_once.is_set():
            self._tell_all(DRAIN)
            await first_of(self._settings.grace + BEYOND_GRACE, self._orders.at_once)
        if self._orders.at_once.is_set():
            self._tell_all(AT_ONCE)
            await asyncio.sleep(TO_STOP_AT_ONCE.total_seconds())
        for child in self.children.values():
            log.error("child_killed", process=child.number, child_pid=child.pid)
            child.kill()

    def _tell_all(self, order: bytes) -> None:
        for child in self.children.values():
            child.tell(order)
