"""Remove one guard at a time from a copy of the sources, and see that a test fails: `python -m tests.guards [WORDS]`.

Prints a table, in Markdown, of the guards and the tests that failed without them; of all guards, it is written into
the page, too. Ends with 1 where no test failed.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.guards.guards import GUARDS, ROOT, Guard

COPIED = ("mqjobs", "topics", "consumers", "tests", "pyproject.toml")
FAILED = re.compile(
    r"^(?:FAILED|ERROR) (?:tests/scenarios/)?(\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE
)
AT_MOST = 600

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- guards -->", "<!-- /guards -->"


def main(words: Sequence[str]) -> int:
    """Try the guards in whose names all these words are."""
    unguarded = 0
    table = ["| without | fails |", "| --- | --- |"]
    print(*table, sep="\n", flush=True)
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        _copy_sources(copy)
        for guard in GUARDS:
            if not all(word in guard.name for word in words):
                continue
            failed = _failures_without(guard, copy)
            unguarded += not failed
            names = " ".join(f"`{name}`" for name in failed) or "**nothing**"
            table.append(f"| {guard.name} | {names} |")
            print(table[-1], flush=True)
    if not words:
        _write_page(table)
    return bool(unguarded)


def _write_page(table: Sequence[str]) -> None:
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text("\n".join([before + begin, *table, end + after]), "utf-8")


def _copy_sources(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis")
            )
        else:
            shutil.copy(source, folder / name)


def _failures_without(guard: Guard, folder: Path) -> list[str]:
    """The tests that failed, after which the copy is whole again."""
    path = folder / guard.file
    whole = path.read_text("utf-8")
    path.write_text(guard.removed_from(whole), "utf-8")
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *guard.paths],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=AT_MOST,
            check=False,
        )
    finally:
        path.write_text(whole, "utf-8")
    if ran.returncode not in {0, 1}:
        raise RuntimeError(
            f"{guard.name}: pytest ended with {ran.returncode}\n{ran.stdout}{ran.stderr}"
        )
    return sorted(set(FAILED.findall(ran.stdout)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
