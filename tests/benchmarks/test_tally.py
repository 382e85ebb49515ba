import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.tally import PROCESSOR, Stretch, Tally, ThreadTally


class NotingProfiler:
    """Notes when it is switched on and off, by how many were done."""

    def __init__(self) -> None:
        self.done = 0
        self.switched: list[tuple[str, int]] = []

    def enable(self) -> None:
        self.switched.append(("on", self.done))

    def disable(self) -> None:
        self.switched.append(("off", self.done))


async def test_a_tally_is_over_with_the_last_piece_after_the_warm_up() -> None:
    tally = Tally(warm_up=2, size=3)

    assert [tally.count() for _ in range(5)] == [False, False, False, False, True]
    assert (await tally.figures())["per second"] > 0


async def test_a_profiler_sees_what_is_counted_and_nothing_else() -> None:
    profiler = NotingProfiler()
    tally = Tally(warm_up=2, size=3, profiler=profiler)

    for profiler.done in range(1, 6):
        tally.count()

    assert profiler.switched == [("on", 2), ("off", 5)]


async def test_threads_count_together() -> None:
    tally = ThreadTally(warm_up=100, size=3_900)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: repeated(tally.count, 500), range(8)))

    async with asyncio.timeout(10):
        assert (await tally.figures())["per second"] > 0


def repeated(act: Callable[[], object], times: int) -> None:
    for _ in range(times):
        act()


def test_processor_time_is_that_of_the_stretch() -> None:
    stretch = Stretch(100)

    work(seconds=0.01)
    stretch.begin()
    work(seconds=0.02)
    stretch.end()
    work(seconds=0.01)

    assert 200 <= stretch.figures[PROCESSOR] < 300
    assert 0 < stretch.figures["per second"] <= 5_000


def work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
