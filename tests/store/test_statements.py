"""The named statements: each is one that PostgreSQL understands, and that some module of the store executes."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from mqjobs.store.database import open_pool
from mqjobs.store.statements import statements, subjects

STORE = Path(str(files("mqjobs.store")))
SEVERAL_IN_ONE = {("migrations", "prepare"), ("locks", "begin")}


async def test_every_statement_can_be_prepared_on_the_migrated_schema(database_url: str) -> None:
    async with open_pool(database_url) as pool, pool.acquire() as connection:
        for subject, name, statement in every_statement():
            try:
                for part in parts(subject, name, statement):
                    await connection.prepare(part)
            except Exception as error:
                pytest.fail(f"{subject}.sql, {name}: {error}")


def test_every_statement_is_executed_by_a_module_that_loads_its_file() -> None:
    unused = [
        f"{subject}.sql: {name}"
        for subject, name, _ in every_statement()
        if name not in names_in_modules_of(subject)
    ]

    assert not unused


def test_every_statement_has_its_name_once_in_its_file() -> None:
    for subject in subjects():
        text = (STORE / "sql" / f"{subject}.sql").read_text("utf-8")

        assert text.count("-- name: ") == len(statements(subject)), subject


def every_statement() -> Iterator[tuple[str, str, str]]:
    """Subject, name and text of each."""
    for subject in subjects():
        for name, statement in statements(subject).items():
            yield subject, name, statement


def parts(subject: str, name: str, statement: str) -> list[str]:
    """What PostgreSQL prepares one by one."""
    return statement.split(";") if (subject, name) in SEVERAL_IN_ONE else [statement]


@cache
def names_in_modules_of(subject: str) -> set[str]:
    """Every text in the modules that load this file, or that import its statements from one that does."""
    trees = {path.stem: ast.parse(path.read_text("utf-8")) for path in STORE.glob("*.py")}
    loading = {module for module, tree in trees.items() if loads(tree, subject)}
    using = {module for module, tree in trees.items() if imports_statements(tree, loading)}
    return {
        node.value
        for module in loading | using
        for node in ast.walk(trees[module])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def loads(tree: ast.Module, subject: str) -> bool:
    """Whether the module says `SQL = statements("subject")`."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "statements"
        and [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        == [subject]
        for node in ast.walk(tree)
    )


def imports_statements(tree: ast.Module, modules: set[str]) -> bool:
    """Whether the module says `from mqjobs.store.module import SQL`."""
    return any(
        isinstance(node, ast.ImportFrom)
        and (node.module or "").rpartition(".")[2] in modules
        and any(alias.name == "SQL" for alias in node.names)
        for node in ast.walk(tree)
    )
