"""What commands write: on a terminal with colours and in its width, into a pipe as plain lines, or as JSON."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Literal
from uuid import UUID

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mqjobs.app.cli.failures import Failure
from mqjobs.model.priority import Priority

WIDTH_OF_A_PIPE = 1000
MINUTE, HOUR, DAY = 60, 3600, 86_400


def show(*things: RenderableType) -> None:
    """Write these to standard output, text as it is; into a pipe no line is cut, and none ends in spaces."""
    is_terminal = sys.stdout.isatty()
    console = Console(
        file=sys.stdout,
        width=None if is_terminal else WIDTH_OF_A_PIPE,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for thing in things:
        if is_terminal:
            console.print(thing)
            continue
        with console.capture() as written:
            console.print(thing)
        click.echo("\n".join(line.rstrip() for line in written.get().splitlines()))


def show_json(value: object) -> None:
    """Write one JSON document to standard output."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def listing(
    columns: str,
    rows: Iterable[Sequence[RenderableType]],
    *,
    numbers: str = "",
    long: str = "",
) -> Table:
    """A line for each row; headings are words. `numbers` go to the right, `long` ones are cut for want of room."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    is_long = [column in long.split() for column in columns.split()]
    for column, gives_way in zip(columns.split(), is_long, strict=True):
        justify: Literal["left", "right"] = "right" if column in numbers.split() else "left"
        table.add_column(column.replace("_", " ").upper(), justify=justify, no_wrap=not gives_way)
    for row in rows:
        table.add_row(*(_cell(cell, cut) for cell, cut in zip(row, is_long, strict=True)))
    return table


def _cell(cell: RenderableType, cut: bool) -> RenderableType:
    if cut and isinstance(cell, str):
        return Text(" ".join(cell.split()), no_wrap=True, overflow="ellipsis")
    return cell


def facts(pairs: Mapping[str, RenderableType | None]) -> Table:
    """What is known of one thing, a line each; what is None is left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs.items():
        if value is not None:
            grid.add_row(name, value)
    return grid


def quiet(text: str) -> Text:
    """A remark."""
    return Text(text, style="dim")


def ago(moment: datetime | None, now: datetime) -> str:
    """How long it is since then, short: `3 min ago`; – for never."""
    if moment is None:
        return "–"
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {_short(-seconds)}" if seconds < 0 else f"{_short(seconds)} ago"


def lasted(duration: timedelta) -> str:
    """A duration, short: `0.52 s`, `12.3 s`, `3 min`."""
    seconds = max(0.0, duration.total_seconds())
    if seconds < 10:
        return f"{seconds:.2f} s"
    return f"{seconds:.1f} s" if seconds < MINUTE else _short(seconds)


def _short(seconds: float) -> str:
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"


def nearest(word: str, name: str, known: Iterable[str]) -> str:
    """What to say where nothing of that kind has the name: the nearest that does, or all."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    known_ones = f"known are {', '.join(names)}" if names else "none are known"
    return f"there is no {word} {name!r}; {f'did you mean {near[0]}?' if near else known_ones}"


def confirm(question: str, *, without_asking: bool) -> None:
    """Go on only where the answer is yes; where nobody can answer, say how to go on without asking.

    Not for coroutines: their loop would keep Ctrl-C from the question.
    """
    if without_asking:
        return
    if not sys.stdin.isatty():
        raise Failure(
            f"not done, because nobody can be asked: {question}\nsay --yes to do it without asking"
        )
    if not click.confirm(question):
        raise Failure("nothing was done")


def short(identity: UUID) -> str:
    """The end of an id, which tells it from others; its beginning is a time."""
    return str(identity)[-8:]


def text_of(body: bytes) -> str:
    """A message's body as text, whatever it is."""
    return body.decode("utf-8", errors="replace")


def _plain(value: Any) -> Any:
    """The value in JSON's own kinds: moments in ISO 8601, durations in seconds, bodies as the JSON that they are."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(each) for each in value]
    return _plain_atom(value)


def _plain_atom(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
        case Priority():
            return value.name.lower()
        case bytes():
            return _json_or_text(value)
        case _:
            return value


def _json_or_text(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return text_of(body)
