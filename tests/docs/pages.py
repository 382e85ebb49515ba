"""The pages of the documentation: their blocks of code, links and headings."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = {"python", "console", "mermaid", "text", "sql", "toml", "yaml"}

FENCE = re.compile(r"^```(\S*)[ ]*([^\n]*)\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(title|in)=(\S+)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
SETTING = re.compile(r"MQJOBS_[A-Z][A-Z0-9_]*[A-Z0-9]")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language, what its first line says besides, and where it stands."""

    page: str
    line: int
    language: str
    title: str | None
    frame: str | None
    code: str

    @property
    def place(self) -> str:
        """Page and line, as an editor understands them."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Page:
    """A page, by its path from the root of the project."""

    path: str
    text: str

    @property
    def blocks(self) -> list[Block]:
        """Its blocks of code, in order."""
        return [self._block(found) for found in FENCE.finditer(self.text)]

    @property
    def prose(self) -> str:
        """The page without its blocks of code."""
        return FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        """Where it leads to on this machine, with what follows a `#`."""
        found = LINK.findall(self.prose)
        return [target for target in found if "://" not in target and "mailto:" not in target]

    @property
    def anchors(self) -> set[str]:
        """What may follow a `#` in a link to it."""
        return {_anchor(heading) for heading in HEADING.findall(self.prose)}

    @property
    def settings(self) -> set[str]:
        """Every MQJOBS_* variable that it names, those in its code, too."""
        return set(SETTING.findall(self.text))

    def _block(self, found: re.Match[str]) -> Block:
        language, options, code = found.groups()
        said = dict(OPTION.findall(options))
        line = self.text.count("\n", 0, found.start()) + 1
        return Block(self.path, line, language, said.get("title"), said.get("in"), code)


def pages() -> list[Page]:
    """README and its like, and everything in docs."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [
        Page(str(path.relative_to(ROOT)), path.read_text("utf-8")) for path in sorted(set(paths))
    ]


def blocks(language: str) -> list[Block]:
    """All blocks in one language."""
    return [block for page in pages() for block in page.blocks if block.language == language]


def page_at(path: str) -> Page:
    """The page of this path."""
    return Page(path, (ROOT / path).read_text("utf-8"))


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")
