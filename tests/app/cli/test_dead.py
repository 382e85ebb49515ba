import pytest

from tests.support.envelopes import an_envelope
from tests.support.shell import Shell
from tests.support.stored_jobs import TOPIC, StoredJobs


async def left(shell: Shell) -> list[int]:
    return [letter["id"] for letter in (await shell("dead", "list", "--json")).json]


async def test_dead_letters_are_listed_and_shown(shell: Shell, stored: StoredJobs) -> None:
    envelope = an_envelope("shop.price", body=b'{"amount": "a"}', headers={"tenant": "7"})
    first = await stored.bury(envelope, "invalid", "field amount: a number was expected")
    detail = "Traceback (most recent call last):\n  …\nValueError: no rate"
    second = await stored.bury(an_envelope("shop.told", queue="other"), "failed", detail)

    heading, *lines = (await shell("dead", "list")).out.splitlines()
    assert heading.split() == ["ID", "TOPIC", "QUEUE", "REASON", "DIED", "JOB", "DETAIL"]
    assert [line.split()[:4] for line in lines] == [
        [str(second), "shop.told", "other", "failed"],
        [str(first), "shop.price", "tests", "invalid"],
    ]
    assert lines[0].endswith("ValueError: no rate")
    more = (await shell("dead", "list", "--limit", "1")).out
    assert more.splitlines()[-1] == f"there may be more: --before {second}"
    chosen = await shell("dead", "list", "--json", "--topic", "shop.price", "--before", str(second))
    [letter] = chosen.json
    assert (letter["id"], letter["envelope"]["body"]) == (first, {"amount": "a"})
    assert letter["envelope"]["id"] == str(envelope.id)
    assert letter["envelope"]["priority"] == "normal"

    shown = (await shell("dead", "show", str(first))).out
    for text in ("shop.price", "tenant: 7", '{"amount": "a"}', "field amount: a number was"):
        assert text in shown
    assert (await shell("dead", "show", str(first), "--json")).json == letter


async def test_no_dead_letters_are_nothing(shell: Shell) -> None:
    assert (await shell("dead", "list")).out == "no dead letters\n"
    assert (await shell("dead", "list", "--json")).json == []


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("unroutabel", "there is no reason 'unroutabel'; did you mean unroutable?"),
        ("foo", "there is no reason 'foo'; known are crashed, expired, failed,"),
    ],
)
async def test_a_reason_that_no_letter_can_have_is_a_usage_error(
    shell: Shell, reason: str, says: str
) -> None:
    for words in (["list"], ["drop", "--yes"], ["replay", "--yes"]):
        ran = await shell("dead", *words, "--reason", reason)
        assert (ran.code, ran.out) == (2, "")
        assert says in ran.err


async def test_all_that_are_chosen_are_dropped(shell: Shell, stored: StoredJobs) -> None:
    letters = [await stored.bury(an_envelope(topic)) for topic in ("a", "b", "a", "c")]
    dropped = await shell("dead", "drop", "--topic", "a", "--limit", "1", "--yes")
    assert dropped.out == "dropped 1 dead letter\n"
    assert await left(shell) == [letters[3], letters[2], letters[1]]

    asked = await shell("dead", "drop", "--all")
    assert (asked.code, asked.out) == (1, "")
    assert "Throw all 3 dead letters away?" in asked.err
    dropped = await shell("dead", "drop", "--all", "--reason", "failed", "--yes")
    assert dropped.out == "dropped 3 dead letters\n"
    assert await left(shell) == []


async def test_dropping_some_that_are_not_there_says_so(shell: Shell, stored: StoredJobs) -> None:
    letter = await stored.bury(an_envelope(TOPIC))
    ran = await shell("dead", "drop", str(letter), str(letter), "815", "--yes")
    assert (ran.code, ran.out) == (1, "dropped 1 dead letter\n")
    assert ran.err.startswith("Error: 1 of these ids are no dead letters")


@pytest.mark.parametrize("command", ["replay", "drop"])
async def test_what_is_meant_has_to_be_said(shell: Shell, command: str) -> None:
    for words in ([], ["1", "--all"], ["1", "--topic", "a"]):
        ran = await shell("dead", command, *words)
        assert (ran.code, ran.out) == (2, "")
        assert "--all" in ran.err


async def test_secrets_are_not_shown_with_and_without_their_class(
    shell: Shell, stored: StoredJobs
) -> None:
    body = b'{"amount": 3, "token": "marked"}'
    known = an_envelope("shop.paid", body=body)
    marked = an_envelope("other.paid", body=body, headers={"mqjobs-secret": '[["token"]]'})
    letters = [await stored.bury(known), await stored.bury(marked)]
    with (shell.folder / "shop.py").open("a") as app:
        app.write(
            "from mqjobs import Secret\n\n\nclass Paid(Topic, name='shop.paid'):\n"
            "    amount: int\n    token: Secret\n\n\napp.sends(Paid)\n"
        )

    for words in (["list", "--json"], *(["show", str(letter)] for letter in letters)):
        ran = await shell("dead", *words)
        assert "marked" not in ran.out + ran.err
        assert '"token": "**********"' in ran.out
        assert '"amount": 3' in ran.out
        if words[0] == "show":
            assert "mqjobs-secret" not in ran.out
