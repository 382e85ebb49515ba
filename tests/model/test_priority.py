"""How urgent messages are."""

from mqjobs.model.priority import Priority


def test_the_more_urgent_is_the_greater() -> None:
    assert sorted(Priority) == [
        Priority.VERY_LOW,
        Priority.LOW,
        Priority.NORMAL,
        Priority.HIGH,
        Priority.VERY_HIGH,
    ]
    assert [int(each) for each in Priority] == [0, 1, 2, 3, 4]
