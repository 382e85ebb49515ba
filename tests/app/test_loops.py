"""The event loop: uvloop where it is installed, unless somebody says otherwise."""

import asyncio
import sys

import pytest

from mqjobs.app.loops import choose_loop
from mqjobs.model.errors import ConfigurationError


@pytest.mark.parametrize(
    ("setting", "name"), [("auto", "uvloop"), ("uvloop", "uvloop"), ("asyncio", "asyncio")]
)
def test_where_uvloop_is_installed_it_is_taken_unless_the_other_is_wanted(
    setting: str, name: str
) -> None:
    chosen, new_loop = choose_loop(setting)  # type: ignore[arg-type]
    loop = new_loop()
    try:
        assert (chosen, type(loop).__module__.split(".")[0]) == (name, name)
    finally:
        loop.close()


def test_without_uvloop_it_is_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    assert choose_loop("auto") == ("asyncio", asyncio.new_event_loop)


def test_uvloop_that_is_wanted_and_not_there_is_an_error_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'mqjobs\[speed\]'"):
        choose_loop("uvloop")
