"""The page of promises: what it names is there, and no scenario is left out of it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "promises.md"

NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
DEFINED = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)
STATEMENT = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
SCHEMA = re.compile(r"(?:CONSTRAINT|TRIGGER|INDEX|FUNCTION) (?:mqjobs\.)?(\w+)")


def named() -> set[tuple[str, str]]:
    """The tests that the page names: file and test."""
    page = PAGE.read_text("utf-8")
    return {
        (path if "/" in path else f"tests/scenarios/{path}", name)
        for path, name in NAMED.findall(page)
    }


def defined(path: Path) -> list[str]:
    """The tests in a file."""
    return DEFINED.findall(path.read_text("utf-8")) if path.exists() else []


def test_every_test_that_the_page_names_is_there() -> None:
    missing = {(path, name) for path, name in named() if name not in defined(ROOT / path)}

    assert missing == set()


def test_the_page_names_a_test_of_every_scenario() -> None:
    files = {path.name for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}

    named_here = {Path(path).name for path, _ in named() if path.startswith("tests/scenarios/")}
    assert files == named_here


def test_every_guard_that_the_page_names_is_there() -> None:
    store = ROOT / "mqjobs" / "store"
    sql = [path.read_text("utf-8") for path in (store / "sql").glob("*.sql")]
    schema = [path.read_text("utf-8") for path in (store / "versions").glob("*.sql")]
    known = {name for text in sql for name in STATEMENT.findall(text)}
    known |= {name for text in schema for name in SCHEMA.findall(text)}
    page = PAGE.read_text("utf-8")
    guards = set(re.findall(r"(?:constraint|index|trigger) `(\w+)`", page))
    guards |= set(
        re.findall(r"`(\w+_(?:children|child|roots|root|dependents|dependent|messages))`", page)
    )

    assert guards - known - DONE_IN_PYTHON == set()


DONE_IN_PYTHON = {"fail_unrun_child"}
