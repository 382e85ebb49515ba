"""Where Python modules are: the collections and their modules, found without importing any."""

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})
LEFT_OUT = frozenset({"__pycache__", "test", "tests", "idle_test", "_vendor"})


@dataclass(frozen=True, slots=True)
class Module:
    """A module by the name that an import would use, and the file that holds it."""

    name: str
    path: Path


def roots_of(collection: str) -> tuple[Path, ...]:
    """The folders whose modules make up the collection, in the order of an import.

    `stdlib` and `site-packages` are those of this interpreter; anything else is the path of a
    folder. Raises ValueError where there is no such folder.
    """
    if collection == "stdlib":
        return (Path(sysconfig.get_path("stdlib")),)
    if collection == "site-packages":
        return tuple(Path(entry) for entry in sys.path if Path(entry).name in SITE_FOLDERS)
    folder = Path(collection).absolute()
    if not folder.is_dir():
        raise ValueError(
            f"collection {collection!r} is neither stdlib nor site-packages, nor a folder's path"
        )
    return (folder,)


def find_modules(roots: Iterable[Path]) -> list[Module]:
    """Every module below the roots, by name, each name once: the one that an import would take.

    Left out are tests, vendored copies of other packages, and files that no import statement can
    name; a site-packages folder inside of the standard library is among these. Links to folders
    are not followed.
    """
    found: dict[str, Path] = {}
    for root in reversed(list(roots)):
        found |= modules_below(root)
    return [Module(name, found[name]) for name in sorted(found)]


def modules_below(root: Path) -> dict[str, Path]:
    """Name and file of each module below one folder; a package goes before a module of its name."""
    below: dict[str, Path] = {}
    for path in python_files(root):
        name = module_name(path.relative_to(root))
        if name is not None and (name not in below or path.stem == "__init__"):
            below[name] = path
    return below


def python_files(root: Path) -> Iterator[Path]:
    """Every .py file below the folder, except where it is left out or could not be in a package."""
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if name.isidentifier() and name not in LEFT_OUT]
        yield from (Path(folder, name) for name in files if name.endswith(".py"))


def module_name(relative: Path) -> str | None:
    """The dotted name of the module in this file, or None where no import can name it."""
    parts = relative.with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    if not parts or not all(part.isidentifier() for part in parts):
        return None
    return ".".join(parts)
