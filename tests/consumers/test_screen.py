from dataclasses import replace
from io import StringIO

from rich.console import Console

from consumers.index import Hit
from consumers.parsing import Kind
from consumers.screen import Screen, counts, ended, highlighted, reason_of
from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus

ROOT = Job(
    id=7,
    root_id=None,
    owner_id="m",
    name="search.reindex:zoo",
    status=JobStatus.RUNNING,
    progress=0.5,
    children=10,
    children_success=4,
    children_failed=1,
)
FAILED = Job(
    id=9,
    root_id=7,
    owner_id=None,
    name="index:animals.cats",
    status=JobStatus.FAILED,
    error="Traceback …:\n  …\nconsumers.parsing.UnreadableModule: animals/cats.py:3: not Python\n",
)


def shown(screen: Screen) -> str:
    file = screen.console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def new_screen() -> Screen:
    return Screen(Console(file=StringIO(), width=100, highlight=False))


def test_only_what_there_is_is_counted() -> None:
    assert counts(ROOT) == "5 to go, 4 success, 1 failed"
    assert ended(ROOT) == 5


def test_a_reason_is_one_line() -> None:
    assert reason_of(FAILED) == "UnreadableModule: animals/cats.py:3: not Python"
    assert reason_of(replace(FAILED, error="timed out")) == "timed out"
    assert reason_of(replace(FAILED, error=None)) == "no reason was given"


def test_words_that_were_searched_for_stand_out() -> None:
    text = highlighted("a \u2039black\u203a\n  cat, \u2039black\u203a")

    assert text.plain == "a black cat, black"
    assert [text.plain[span.start : span.end] for span in text.spans if span.style] == ["black"] * 2


def test_progress_into_a_pipe_is_a_line_now_and_then() -> None:
    screen = new_screen()

    with screen.progress() as show:
        for _ in range(100):
            show(ROOT)

    assert shown(screen) == "   50.0%  5 to go, 4 success, 1 failed\n"


def test_a_tree_shows_what_failed_and_why() -> None:
    screen = new_screen()

    screen.tree(ROOT, [], [FAILED])

    lines = [line.strip() for line in shown(screen).splitlines()]
    assert lines == [
        "7 search.reindex:zoo  running  (5 to go, 4 success, 1 failed)",
        "├── … 9 more",
        "└── 9 index:animals.cats  failed",
        "└── UnreadableModule: animals/cats.py:3: not Python",
    ]


def test_text_that_looks_like_markup_is_text() -> None:
    screen = new_screen()
    hit = Hit(
        "zoo", "cats", "", Kind.MODULE, "", "/lib/cats.py", 1, 0.1, "list[int] [bold]x[/bold]"
    )

    screen.hits("[red]", [hit])

    assert "list[int] [bold]x[/bold]" in shown(screen)
    assert "Search: [red]" in shown(screen)


def test_no_match_is_said() -> None:
    screen = new_screen()

    screen.hits("elephant", [])

    assert "Nothing has all of these words" in shown(screen)
