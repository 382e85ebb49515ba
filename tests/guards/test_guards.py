"""The guards are where the list says, and so are the tests that hold them."""

import ast

import pytest

from tests.guards.guards import GUARDS, ROOT, Guard

EACH = pytest.mark.parametrize("guard", GUARDS, ids=[guard.name for guard in GUARDS])


@EACH
def test_a_guard_is_there_once_and_can_be_removed(guard: Guard) -> None:
    source = (ROOT / guard.file).read_text("utf-8")

    without = guard.removed_from(source)

    assert without != source
    if guard.file.endswith(".py"):
        ast.parse(without)


@EACH
def test_the_tests_that_hold_a_guard_are_there(guard: Guard) -> None:
    assert guard.tests
    for path in guard.paths:
        file, _, test = path.partition("::")
        source = (ROOT / file).read_text("utf-8")
        assert f"def {test}(" in source if test else source


def test_each_guard_is_named_once() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


def test_a_guard_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=f"{GUARDS[0].name}: found 0 times"):
        GUARDS[0].removed_from("")


def test_the_page_has_each_guard_with_a_test_that_failed_without_it() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")

    for guard in GUARDS:
        assert f"| {guard.name} | `" in page
