from benchmarks.processes import Seen, rate


def test_the_rate_is_taken_from_the_first_look_after_the_warm_up_to_the_last() -> None:
    seen = [Seen(0.0, 0), Seen(1.0, 5), Seen(2.0, 12), Seen(3.0, 20), Seen(4.0, 32)]

    assert rate(seen, after=10) == 10.0


def test_what_ends_between_two_looks_is_counted_from_the_beginning() -> None:
    assert rate([Seen(0.0, 0), Seen(2.0, 30)], after=10) == 15.0
