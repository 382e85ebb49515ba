"""Orders: what a daemon is told, by signals or else. First to drain, then to stop at once."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)

DRAINING = (signal.SIGTERM, signal.SIGINT)
AT_ONCE = signal.SIGQUIT


class Orders:
    """`drain` and `at_once` are set when they are given, and `drain` with `at_once`, too."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.at_once = asyncio.Event()
        self._when_draining: Callable[[], object] | None = None
        self._has_heard_a_signal = False

    def when_draining(self, tell: Callable[[], object] | None) -> None:
        """Call this with the first order, and nothing that was named before."""
        self._when_draining = tell

    def begin_draining(self, why: str) -> None:
        """Take no more, let what runs end, and end. Said again it is the same order."""
        if self.drain.is_set():
            return
        log.info("draining", why=why)
        self._drain()

    def stop_at_once(self, why: str) -> None:
        """End without waiting for what runs."""
        if self.at_once.is_set():
            return
        log.warning("stopping_at_once", why=why)
        self.at_once.set()
        self._drain()

    def _drain(self) -> None:
        if not self.drain.is_set():
            self.drain.set()
            if self._when_draining is not None:
                self._when_draining()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Within the block the first SIGTERM or SIGINT is to drain, the next one is to stop at once, as is SIGQUIT.

        A signal counts as the second only after a signal: who was told otherwise to drain may be sent one, too.
        """
        loop = asyncio.get_running_loop()
        for number in (*DRAINING, AT_ONCE):
            loop.add_signal_handler(number, self._hear, number)
        try:
            yield
        finally:
            for number in (*DRAINING, AT_ONCE):
                loop.remove_signal_handler(number)

    def _hear(self, number: signal.Signals) -> None:
        if number is AT_ONCE or self._has_heard_a_signal:
            self.stop_at_once(number.name)
        else:
            self._has_heard_a_signal = True
            self.begin_draining(number.name)
