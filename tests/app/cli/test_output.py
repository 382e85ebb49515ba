from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID

import pytest

from mqjobs.app.cli import output
from mqjobs.app.cli.failures import Failure
from mqjobs.model.message import Sent

NOW = datetime(2026, 3, 29, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (0.9, "now"),
        (1, "1 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86_399, "23 h ago"),
        (86_400, "1 d ago"),
        (40 * 86_400, "40 d ago"),
        (-0.5, "now"),
        (-90, "in 1 min"),
    ],
)
def test_how_long_ago_is_short(seconds: float, text: str) -> None:
    assert output.ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_never_is_a_dash() -> None:
    assert output.ago(None, NOW) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.00 s"), (0.123, "0.12 s"), (12.34, "12.3 s"), (61, "1 min"), (7200, "2 h")],
)
def test_a_duration_is_short(seconds: float, text: str) -> None:
    assert output.lasted(timedelta(seconds=seconds)) == text


def test_the_nearest_name_is_proposed_or_else_all() -> None:
    assert output.nearest("queue", "pries", ["prices", "mail"]).endswith("did you mean prices?")
    assert output.nearest("queue", "x", ["b", "a"]) == "there is no queue 'x'; known are a, b"
    assert output.nearest("queue", "x", []) == "there is no queue 'x'; none are known"


def test_json_has_moments_durations_and_bodies_in_its_own_kinds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    identity = UUID(int=7)
    output.show_json([Sent(identity), NOW, timedelta(minutes=1), b'{"a": 1}', b"\xff", {1: "ä"}])
    assert (
        capsys.readouterr().out.split()
        == f"""
        [ {{ "message_id": "{identity}", "job_id": null, "blocked_by": null }},
        "2026-03-29T02:00:00+00:00", 60.0, {{ "a": 1 }}, "�", {{ "1": "ä" }} ]""".split()
    )


def test_what_goes_into_a_pipe_is_neither_cut_nor_padded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "n" * 300
    output.show(
        output.listing("id long_name", [("1", name), ("12", "[red]b[/red]")], long="long_name")
    )
    assert capsys.readouterr().out.splitlines() == [
        "ID  LONG NAME",
        f"1   {name}",
        "12  [red]b[/red]",
    ]


def test_nobody_is_asked_who_cannot_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    output.confirm("Really?", without_asking=True)
    monkeypatch.setattr("sys.stdin", StringIO())
    with pytest.raises(Failure, match="say --yes"):
        output.confirm("Really?", without_asking=False)
