"""Which deliveries of one channel are settled, and what the broker is still to be told of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settlement:
    """What to send, in this order: `given_back` one by one, `up_to` as one multiple ack, `single` acks.

    The order matters: a multiple ack would take what is to be given back below it.
    """

    given_back: tuple[int, ...] = ()
    up_to: int | None = None
    single: tuple[int, ...] = ()


class Acknowledgements:
    """The bookkeeping of one channel, whose delivery tags are 1, 2, 3 and so on.

    What is settled without a gap from the first tag on goes out as one multiple ack. What is ahead of a slow
    message waits for one more call, for the gap may close, and is then sent by itself.
    """

    def __init__(self) -> None:
        self._floor = 1
        self._settled: set[int] = set()
        self._acks: set[int] = set()
        self._ahead_before: set[int] = set()
        self._given_back: list[int] = []

    def ack(self, tag: int) -> bool:
        """The delivery is done; False where it was settled before."""
        if not self._settle(tag):
            return False
        self._acks.add(tag)
        return True

    def give_back(self, tag: int) -> bool:
        """The delivery goes back to its queue; False where it was settled before."""
        if not self._settle(tag):
            return False
        self._given_back.append(tag)
        return True

    def _settle(self, tag: int) -> bool:
        if tag < self._floor or tag in self._settled:
            return False
        self._settled.add(tag)
        return True

    @property
    def unsent(self) -> int:
        """How many deliveries are settled without the broker knowing."""
        return len(self._acks) + len(self._given_back)

    def next_settlement(self, *, everything: bool) -> Settlement:
        """What to send now; it counts as sent. `everything`: what is ahead of a gap does not wait."""
        self._raise_floor()
        covered = {tag for tag in self._acks if tag < self._floor}
        ahead = self._acks - covered
        single = ahead if everything else ahead & self._ahead_before
        self._acks = ahead - single
        self._ahead_before = set(self._acks)
        given_back, self._given_back = tuple(self._given_back), []
        return Settlement(given_back, max(covered, default=None), tuple(sorted(single)))

    def _raise_floor(self) -> None:
        while self._floor in self._settled:
            self._settled.discard(self._floor)
            self._floor += 1
