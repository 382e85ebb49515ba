"""What the demo shows: on a terminal with colours and a bar, into a pipe as plain lines."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from consumers.index import HIT_START, HIT_STOP, Hit, Statistics
from mqjobs import Job, JobStatus

STYLES = {
    JobStatus.SUCCESS: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "yellow",
    JobStatus.STALE: "yellow",
}
LINE_EVERY = 1.0


class Screen:
    """Where the demo writes to."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def title(self, database: str, broker: str) -> None:
        """What this is, and what it runs on."""
        self.headline("The documentation of the standard library, indexed by jobs")
        self.say(f"database  {database}", style="dim")
        self.say(f"broker    {broker}", style="dim")

    def headline(self, text: str) -> None:
        self.console.print()
        self.console.print(Text(text, style="bold"))

    def say(self, text: str, style: str = "") -> None:
        """One paragraph, indented; the text is not looked into for markup."""
        self._put(Text(text, style=style))

    @contextmanager
    def progress(self) -> Iterator[Callable[[Job], None]]:
        """Yields what shows where a root job stands: a bar, or a line now and then."""
        if not self.console.is_interactive:
            yield self._lines()
            return
        columns = (BarColumn(40), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(TextColumn(" "), *columns, console=self.console) as bar:
            task = bar.add_task("waiting for the consumer", total=None)
            yield lambda root: bar.update(
                task, description=counts(root), total=root.children or None, completed=ended(root)
            )

    def _lines(self) -> Callable[[Job], None]:
        shown_at = 0.0

        def show(root: Job) -> None:
            nonlocal shown_at
            now = time.monotonic()
            if root.status.is_terminal or now - shown_at >= LINE_EVERY:
                shown_at = now
                self.say(f"{root.progress:6.1%}  {counts(root)}")

        return show

    def tree(self, root: Job, children: Sequence[Job], failed: Sequence[Job]) -> None:
        """A root, some of its children, and those that failed with their reasons."""
        tree = Tree(described(root))
        for child in children:
            tree.add(described(child))
        hidden = root.children - len(children) - len(failed)
        if hidden > 0:
            tree.add(Text(f"… {hidden} more", style="dim"))
        for child in failed:
            tree.add(described(child)).add(Text(reason_of(child), style="red"))
        self._put(tree)

    def totals(self, root: Job, statistics: Statistics) -> None:
        """What the dependent message counted, and how fast the root job came there."""
        seconds = elapsed(root)
        self.headline("Counted by the dependent message, which the end of the root job sent")
        self.say(
            f"{statistics.documents:,} documents ({statistics.classes:,} classes, "
            f"{statistics.functions:,} functions and methods) in {statistics.modules:,} modules"
        )
        rate = root.children / seconds
        self.say(f"{root.children:,} child jobs in {seconds:.1f} s, {rate:.0f} per second")

    def hits(self, query: str, hits: Sequence[Hit]) -> None:
        """The matches of a query."""
        self.headline(f"Search: {query}")
        if not hits:
            self.say("Nothing has all of these words; fewer of them find more.")
        for hit in hits:
            self.say(hit.full_name, style="cyan")
            self._put(highlighted(hit.excerpt), indent=4)
            self._put(Text(f"{hit.path}:{hit.line}", style="dim"), indent=4)

    def suggestions(self, root_id: int, programs: str) -> None:
        """What to try next; `programs` is what stands before the name of a program."""
        self.headline("The consumer was asked to stop; it let its work end and exited with 0")
        self.headline("To try next")
        commands = Table.grid(padding=(0, 2))
        for command, purpose in (
            ('python -m consumers.demo "temporary file"', "search the index"),
            ("mqjobs jobs list", "the root jobs"),
            (f"mqjobs jobs tree {root_id}", "one and its children"),
            ("""mqjobs send search.reindex '{"collection": "stdlib"}'""", "some work"),
            ("mqjobs consume --app consumers:app", "and who does it"),
        ):
            commands.add_row(Text(programs + command), Text(purpose, style="dim"))
        self._put(commands)

    def failure(self, reason: str, log: Path, tail: str) -> None:
        """Why the demo cannot go on, and the consumer's last words."""
        self.headline("The demo failed")
        self.say(reason, style="red")
        self.say(f"The consumer's log, {log}, ends with:")
        self._put(Text(tail or "(nothing)", style="dim"), indent=4)

    def _put(self, what: RenderableType, indent: int = 2) -> None:
        self.console.print(Padding.indent(what, indent))


def elapsed(job: Job) -> float:
    """Seconds from the job's creation to its end; of one that has not ended, next to none."""
    if job.created_at is None or job.stopped_at is None:
        return 1e-3
    return max((job.stopped_at - job.created_at).total_seconds(), 1e-3)


def ended(root: Job) -> int:
    """How many children of the root have ended."""
    return root.children - root.children_open


def counts(root: Job) -> str:
    """How many children stand where; what there is none of is left out."""
    numbers = {
        "to go": root.children_open,
        "success": root.children_success,
        "failed": root.children_failed,
        "cancelled": root.children_cancelled,
        "stale": root.children_stale,
    }
    return ", ".join(f"{number} {word}" for word, number in numbers.items() if number)


def described(job: Job) -> Text:
    """One line on a job: its id, name, status, and how long it took."""
    text = Text.assemble(
        (f"{job.id} ", "dim"), f"{job.name}  ", (job.status, STYLES.get(job.status, "cyan"))
    )
    if job.started_at and job.stopped_at:
        text.append(f"  {(job.stopped_at - job.started_at).total_seconds():.2f} s", style="dim")
    if job.is_root:
        text.append(f"  ({counts(job)})", style="dim")
    return text


def reason_of(job: Job) -> str:
    """What ended the job, on one line: the last one of its error, the type without its module."""
    *_, line = (job.error or "no reason was given").strip().splitlines()
    return re.sub(r"^(\w+\.)+(?=\w+: )", "", line)


def highlighted(excerpt: str) -> Text:
    """The excerpt on one line, with the words that were searched for in bold."""
    text = Text()
    for piece in " ".join(excerpt.split()).split(HIT_START):
        word, mark, rest = piece.partition(HIT_STOP)
        text.append(word, style="bold yellow" if mark else "").append(rest)
    return text
