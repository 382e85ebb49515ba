"""SQL by name: the statements of `sql/<subject>.sql`, each under a `-- name:` line."""

import re
from collections.abc import Mapping
from importlib.resources import files

HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def statements(subject: str) -> Mapping[str, str]:
    """The statements of one file, by name."""
    text = files("mqjobs.store").joinpath("sql", f"{subject}.sql").read_text("utf-8")
    _, *parts = HEADING.split(text)
    return {
        name: statement.strip() for name, statement in zip(parts[::2], parts[1::2], strict=True)
    }


def subjects() -> list[str]:
    """The names of all statement files."""
    folder = files("mqjobs.store").joinpath("sql")
    return sorted(path.name.removesuffix(".sql") for path in folder.iterdir())
