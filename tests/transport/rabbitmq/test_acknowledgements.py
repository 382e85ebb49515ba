"""The bookkeeping of a channel's deliveries, against a model of what a broker does."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from mqjobs.transport.rabbitmq.acknowledgements import Acknowledgements, Settlement


def test_what_is_settled_without_a_gap_is_one_multiple_ack() -> None:
    acknowledgements = Acknowledgements()
    for tag in (2, 1, 3):
        acknowledgements.ack(tag)
    assert acknowledgements.next_settlement(everything=False) == Settlement(up_to=3)
    assert acknowledgements.unsent == 0


def test_what_is_ahead_of_a_slow_message_waits_one_call_and_then_goes_by_itself() -> None:
    acknowledgements = Acknowledgements()
    for tag in (1, 3, 4):
        acknowledgements.ack(tag)
    assert acknowledgements.next_settlement(everything=False) == Settlement(up_to=1)
    assert acknowledgements.unsent == 2
    acknowledgements.ack(5)
    assert acknowledgements.next_settlement(everything=False) == Settlement(single=(3, 4))
    acknowledgements.ack(2)
    assert acknowledgements.next_settlement(everything=False) == Settlement(up_to=5)


def test_everything_leaves_nothing_behind() -> None:
    acknowledgements = Acknowledgements()
    acknowledgements.ack(2)
    acknowledgements.give_back(4)
    assert acknowledgements.next_settlement(everything=True) == Settlement(
        given_back=(4,), single=(2,)
    )
    assert acknowledgements.unsent == 0
    assert acknowledgements.next_settlement(everything=True) == Settlement()


def test_the_last_of_a_multiple_ack_is_one_that_the_broker_still_waits_for() -> None:
    acknowledgements = Acknowledgements()
    acknowledgements.ack(1)
    acknowledgements.give_back(2)
    assert acknowledgements.next_settlement(everything=False) == Settlement(
        given_back=(2,), up_to=1
    )


def test_a_delivery_is_settled_once() -> None:
    acknowledgements = Acknowledgements()
    assert acknowledgements.ack(1)
    assert not acknowledgements.give_back(1)
    acknowledgements.next_settlement(everything=False)
    assert not acknowledgements.ack(1)
    assert acknowledgements.next_settlement(everything=True) == Settlement()


@dataclass
class Broker:
    """What RabbitMQ does: a tag that it does not wait for is an error that closes the channel."""

    outstanding: set[int]
    acked: set[int] = field(default_factory=set)
    requeued: set[int] = field(default_factory=set)

    def receive(self, settlement: Settlement) -> None:
        for tag in settlement.given_back:
            self._end([tag], tag, self.requeued)
        if settlement.up_to is not None:
            covered = [tag for tag in self.outstanding if tag <= settlement.up_to]
            self._end(covered, settlement.up_to, self.acked)
        for tag in settlement.single:
            self._end([tag], tag, self.acked)

    def _end(self, tags: list[int], named: int, where: set[int]) -> None:
        assert named in self.outstanding, f"unknown delivery tag {named}"
        self.outstanding.difference_update(tags)
        where.update(tags)


@given(
    order=st.permutations(range(1, 25)),
    give_back=st.sets(st.integers(1, 24)),
    never=st.sets(st.integers(1, 24), max_size=4),
    flushes=st.lists(st.sampled_from(["no", "soon", "all"]), min_size=24, max_size=24),
)
def test_the_broker_is_told_exactly_what_was_settled(
    order: list[int], give_back: set[int], never: set[int], flushes: list[str]
) -> None:
    broker, acknowledgements = Broker(set(range(1, 25))), Acknowledgements()
    for tag, flush in zip(order, flushes, strict=True):
        if tag in never:
            continue
        if tag in give_back:
            acknowledgements.give_back(tag)
        else:
            acknowledgements.ack(tag)
        if flush != "no":
            broker.receive(acknowledgements.next_settlement(everything=flush == "all"))
    broker.receive(acknowledgements.next_settlement(everything=False))
    broker.receive(acknowledgements.next_settlement(everything=False))
    assert broker.outstanding == never
    assert broker.requeued == give_back - never
    assert broker.acked == set(range(1, 25)) - give_back - never
    assert acknowledgements.unsent == 0
