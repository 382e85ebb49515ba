"""What a module's source documents: read and parsed, never imported."""

import ast
import copy
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from consumers.modules import Module

SOURCE = "<source>"
warnings.filterwarnings("ignore", module=SOURCE)  # what a compiler would say of other people's code

ONE_PARSER = threading.Lock()
"""Python counts the depth of the tree that it builds once for all threads: two at once can fail."""

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
NESTING = (ast.stmt, ast.ExceptHandler, ast.match_case)


class Kind(StrEnum):
    """What a document is about."""

    MODULE = "module"
    CLASS = "class"
    FUNCTION = "function"
    METHOD = "method"


@dataclass(frozen=True, slots=True)
class Document:
    """One docstring and what it belongs to.

    `name` is the qualified name within the module, empty for the module itself. `signature` is the
    header as it would be written, without decorators. `line` counts from 1.
    """

    name: str
    kind: Kind
    signature: str
    docstring: str
    line: int


class UnreadableModule(Exception):
    """The module's source is not what this Python can parse; the text says where and why."""


def read_documents(module: Module) -> list[Document]:
    """What the module documents, in the order of its source.

    Each qualified name comes once, with its first docstring. Raises UnreadableModule for a source
    that cannot be decoded or parsed, OSError for a file that cannot be read.
    """
    source = module.path.read_bytes()
    try:
        with ONE_PARSER:
            tree = ast.parse(source, SOURCE)
        return unique(documents_of(tree))
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        raise UnreadableModule(f"{short_path(module)}{line}: {error.msg}") from None
    except ValueError as error:
        raise UnreadableModule(f"{short_path(module)}: {error}") from None
    except (RecursionError, MemoryError):
        raise UnreadableModule(f"{short_path(module)}: nested too deeply to be parsed") from None


def documents_of(tree: ast.Module) -> Iterator[Document]:
    """The docstrings of the module, its classes, functions and methods; none of inner functions."""
    if docstring := docstring_of(tree):
        yield Document("", Kind.MODULE, "", docstring, 1)
    for name, kind, node in definitions(tree):
        if docstring := docstring_of(node):
            yield Document(name, kind, signature_of(node), docstring, node.lineno)


def definitions(tree: ast.Module) -> Iterator[tuple[str, Kind, Definition]]:
    """Every class, function and method with its qualified name, also those in `if` or `try`."""
    waiting: list[tuple[str, Kind, ast.AST]] = [("", Kind.FUNCTION, tree)]
    while waiting:
        prefix, callable_kind, node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, callable_kind, node
            continue
        if isinstance(node, ast.ClassDef):
            yield prefix + node.name, Kind.CLASS, node
            prefix, callable_kind = f"{prefix}{node.name}.", Kind.METHOD
        inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, NESTING)]
        waiting += [(prefix, callable_kind, child) for child in reversed(inner)]


def docstring_of(node: ast.Module | Definition) -> str:
    """The docstring without its indentation; empty where there is none."""
    return (ast.get_docstring(node) or "").strip()


def signature_of(node: Definition) -> str:
    """The header as it would be written on one line, such as `async def get(self, /) -> bytes`."""
    header = copy.copy(node)
    header.body = [ast.Expr(ast.Constant(...))]
    header.decorator_list = []
    return ast.unparse(header).removesuffix(":\n    ...")


def unique(documents: Iterable[Document]) -> list[Document]:
    """The first document of each name, in order."""
    by_name: dict[str, Document] = {}
    for document in documents:
        by_name.setdefault(document.name, document)
    return list(by_name.values())


def short_path(module: Module) -> Path:
    """The file as seen from the folder that an import would start at."""
    is_package = module.path.stem == "__init__"
    depth = len(module.name.split(".")) + is_package
    return Path(*module.path.parts[-depth:])
