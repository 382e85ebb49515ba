"""Bodies are data: nothing here turns what was sent into code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mqjobs"
MODULES = {
    "pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "yaml",
    "joblib",
}
CALLS = {"eval", "exec", "compile", "__import__", "input"}


def faults(tree: ast.AST) -> Iterator[str]:
    """Imports and calls that make code of data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Name) and node.id in CALLS:
            yield node.id


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_nothing_that_was_sent_becomes_code(path: Path) -> None:
    assert list(faults(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from yaml import load", "import marshal as m", "eval(body)", "exec(body)"],
)
def test_it_would_be_found(code: str) -> None:
    assert list(faults(ast.parse(code)))
