"""The tally: what one process has counted since it began."""

from mqjobs.model.tally import Count, Measure, Observed, Tally


def test_counts_rise_by_kind() -> None:
    tally = Tally()
    tally.add(Count.PARKED)
    tally.add(Count.PARKED, 2)
    tally.add(Count.REPAIRS, kind="counters")
    assert tally.counts() == {(Count.PARKED, ""): 3, (Count.REPAIRS, "counters"): 1}


def test_what_was_measured_is_kept_as_its_number_and_its_sum() -> None:
    tally = Tally()
    tally.observe(Measure.FLUSH_SIZE, 3, kind="claims")
    tally.observe(Measure.FLUSH_SIZE, 5, kind="claims")
    assert tally.measures() == {(Measure.FLUSH_SIZE, "claims"): Observed(2, 8)}


def test_what_was_handed_out_does_not_change() -> None:
    tally = Tally()
    before = tally.counts()
    tally.add(Count.PARKED)
    assert not before
