"""What went wrong, of what a traceback says."""

import subprocess
import traceback
from collections.abc import Callable

import pytest

from mqjobs.model.tracebacks import LONGEST, what_went_wrong


def text_of(fail: Callable[[], object]) -> str:
    try:
        fail()
    except BaseException as error:
        return "".join(traceback.format_exception(error))
    raise AssertionError("it did not fail")


def fail_with(error: BaseException) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def fail_while_failing() -> object:
    try:
        raise KeyError("color")
    except KeyError as error:
        raise ValueError("no such color") from error


fail_in_groups = fail_with(
    ExceptionGroup("outer", [ExceptionGroup("inner", [TypeError("two\nlines"), OSError("other")])])
)


def fail_after_a_group() -> object:
    try:
        fail_in_groups()
    except ExceptionGroup as error:
        raise OSError("then this") from error
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        (fail_with(ValueError("boom")), "ValueError: boom"),
        (fail_with(ValueError()), "ValueError"),
        (fail_with(ValueError("one\n  two\n\nthree")), "ValueError: one two three"),
        (lambda: compile("a = (", "shop.py", "exec"), "SyntaxError: '(' was never closed"),
        (fail_while_failing, "ValueError: no such color"),
        (
            fail_with(ExceptionGroup("g", [OSError("a"), OSError("b")])),
            "(2 sub-exceptions) – OSErr",
        ),
        (fail_in_groups, "ExceptionGroup: outer (1 sub-exception) – TypeError: two"),
        (fail_after_a_group, "OSError: then this"),
        (lambda: subprocess.run(["false"], check=True), "CalledProcessError: Command '['false']'"),
    ],
)
def test_of_a_traceback_it_is_the_error_on_one_line(fail: Callable[[], object], line: str) -> None:
    found = what_went_wrong(text_of(fail))

    assert line in found
    assert "\n" not in found
    assert not found.endswith(("+", "-"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("\n \n", ""),
        ("the processor returned None: a Result was expected", "the processor returned None: a R"),
        ("ValueError: a\nDETAIL: b\n", "ValueError: a DETAIL: b"),
        (f"its message died: {text_of(fail_with(ValueError('boom')))}", "ValueError: boom"),
    ],
)
def test_of_another_text_it_is_all_of_it(text: str, line: str) -> None:
    assert what_went_wrong(text).startswith(line)


def test_of_an_error_that_was_never_raised_it_is_the_error_and_not_its_cause() -> None:
    late = TimeoutError("it took too long")
    try:
        fail_with(KeyError("slow"))()
    except KeyError as error:
        late.__cause__ = error
    text = "".join(traceback.format_exception(late))
    assert what_went_wrong(text) == "TimeoutError: it took too long"


def test_what_is_very_long_is_cut() -> None:
    found = what_went_wrong(f"ValueError: {'x' * LONGEST}")

    assert len(found) == LONGEST
    assert found.endswith("x…")
