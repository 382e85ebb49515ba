"""What is lost comes again: told, counted, and only where nobody may have it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.tally import Count
from mqjobs.runtime import resending
from mqjobs.runtime.resending import Resending
from mqjobs.transport.seam import QueueState
from tests.support.answering import AnsweringTransport
from tests.support.surroundings import Surroundings
from tests.support.topics import Piece
from tests.support.waiting import eventually

MINUTE = timedelta(minutes=1)


async def lost_children(around: Surroundings, count: int) -> list[int]:
    """Delayed children of a quiet root, whose messages are gone."""
    async with around.splitting() as runner:
        ids = [(await runner.create_delayed(f"{n}", Piece())).id for n in range(count)]
    await around.pool.execute("DELETE FROM mqjobs.message")
    await around.pool.execute("UPDATE mqjobs.job SET last_active_at = now() - interval '1 day'")
    return ids


async def look(around: Surroundings) -> int:
    resender = Resending(around.services, around.transport, MINUTE)
    return await resender.look(asyncio.Event())


async def test_every_message_that_is_sent_again_is_told_and_counted(around: Surroundings) -> None:
    ids = await lost_children(around, 3)
    around.wake.clear()

    with capture_logs() as lines:
        assert (await look(around), await look(around)) == (3, 0)

    assert [(line["event"], line["log_level"], line["jobs"]) for line in lines] == [
        ("resent", "warning", ids)
    ]
    assert around.services.tally.counts()[Count.REPAIRS, "resent"] == 3
    assert around.wake.is_set()
    assert [row["job_id"] for row in await around.outbox()] == ids


async def test_there_may_be_more_than_a_page_of_them(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "PAGE", 3)
    monkeypatch.setattr(resending, "BATCH", 2)
    await lost_children(around, 7)

    assert await look(around) == 7


class CountingTransport(AnsweringTransport):
    """A broker that says what is in its queues."""

    def __init__(self) -> None:
        super().__init__()
        self.ready: list[int | None] = [0]

    async def queue_states(self, queues: Sequence[str]) -> Sequence[QueueState]:
        """The next answer, and the last one from then on; None: the queue is not there."""
        if self.is_away:
            raise BrokerUnavailable("the broker is away")
        ready = self.ready.pop(0) if len(self.ready) > 1 else self.ready[0]
        return [] if ready is None else [QueueState(queue, ready, None, 1) for queue in queues]


@pytest.fixture
def broker_answers() -> CountingTransport:
    return CountingTransport()


async def look_while_beating(around: Surroundings, *, is_full: bool = False) -> int:
    """A look, while the only consumer beats."""
    await beats(around, is_full)
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look(around))
        while not looking.done():
            await beats(around, is_full)
            await asyncio.wait([looking], timeout=0.02)
    return looking.result()


async def beats(around: Surroundings, is_full: bool) -> None:
    """The consumer beats."""
    await around.pool.execute(
        "UPDATE mqjobs.consumer SET heartbeat_at = clock_timestamp(), is_full = $1", is_full
    )


@pytest.mark.parametrize(
    ("ready", "resent"),
    [([0], 2), ([1], 0), ([0, 1], 0), ([1, 0], 0), ([None], 0), ([0, None], 0)],
)
async def test_nothing_is_sent_again_unless_the_queue_is_there_and_empty_at_both_looks(
    beside_broker: Surroundings,
    broker_answers: CountingTransport,
    ready: list[int | None],
    resent: int,
) -> None:
    await lost_children(beside_broker, 2)
    broker_answers.ready = ready

    assert await look_while_beating(beside_broker) == resent


async def test_nothing_is_sent_again_that_a_full_consumer_may_hold(
    beside_broker: Surroundings,
) -> None:
    await lost_children(beside_broker, 2)

    assert await look_while_beating(beside_broker, is_full=True) == 0
    assert await look_while_beating(beside_broker) == 2


async def test_a_consumer_that_is_silent_between_the_looks_may_hold_it(
    beside_broker: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "SILENCE", timedelta(milliseconds=100))
    await lost_children(beside_broker, 2)

    assert await look(beside_broker) == 0


async def test_while_the_broker_is_away_nobody_knows_what_it_holds(
    beside_broker: Surroundings, broker_answers: CountingTransport
) -> None:
    await lost_children(beside_broker, 2)
    broker_answers.is_away = True

    assert await look(beside_broker) == 0


async def test_of_all_consumers_one_looks_in_an_interval(around: Surroundings) -> None:
    stop, ids = asyncio.Event(), await lost_children(around, 2)
    resenders = [Resending(around.services, around.transport, MINUTE) for _ in range(3)]

    async def are_sent() -> bool:
        return len(await around.outbox()) >= len(ids)

    async with asyncio.TaskGroup() as group:
        for each in resenders:
            group.create_task(each.run(stop, MINUTE))
        await eventually(are_sent)
        stop.set()

    assert around.services.tally.counts()[Count.REPAIRS, "resent"] == len(ids)
