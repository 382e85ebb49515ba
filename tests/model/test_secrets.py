"""Secrets in bodies: where they stand, that they travel, and that nobody is shown them."""

import json

import pytest
from pydantic import BaseModel, Field

from mqjobs.model.secrets import MARK, Secret, mark_of, secret_paths, without_secrets
from mqjobs.model.topic import Topic
from tests.support.envelopes import an_envelope


class Card(BaseModel):
    number: str
    code: Secret
    former: "tuple[Card, ...]" = ()


class Payment(Topic, name="tests.payment"):
    card: Card
    cards: tuple[Card, ...] = ()
    by_name: dict[str, Secret] = Field(default_factory=dict)
    token: Secret | None = None
    amount: int = 0


class Folder(BaseModel):
    name: str
    folders: "tuple[Folder, ...]" = ()


class Tree(Topic, name="tests.tree"):
    root: Folder


class Open(Topic, name="tests.open"):
    amount: int = 0


BODY = {
    "card": {"number": "1", "code": "marked", "former": [{"number": "0", "code": "marked"}]},
    "cards": [{"number": "2", "code": "marked"}, "no card"],
    "by_name": {"a": "marked", "b": None},
    "token": "marked",
    "amount": 3,
}


def test_secrets_are_found_in_models_lists_and_dictionaries() -> None:
    assert secret_paths(Payment) == {
        ("card", "code"),
        ("card", "former", "*"),
        ("cards", "*", "code"),
        ("cards", "*", "former", "*"),
        ("by_name", "*"),
        ("token",),
    }
    assert secret_paths(Open) == secret_paths(Tree) == frozenset()
    assert mark_of(Open) == {}


@pytest.mark.parametrize("way", ["mark", "class"])
def test_what_is_shown_has_none_and_all_else(way: str) -> None:
    headers = mark_of(Payment) if way == "mark" else {}
    envelope = an_envelope("tests.payment", body=json.dumps(BODY).encode(), headers=headers)

    shown = without_secrets(envelope, Payment if way == "class" else None)

    assert b"marked" not in shown.body
    read = json.loads(shown.body)
    assert read["card"] == {"number": "1", "code": "**********", "former": ["**********"]}
    assert read["cards"][1] == "no card"
    assert read["by_name"] == {"a": "**********", "b": None}
    assert read["amount"] == 3


def test_a_body_that_is_no_json_is_masked_as_a_whole() -> None:
    broken = an_envelope("tests.payment", body=b'{"token": "marked"', headers=mark_of(Payment))
    assert without_secrets(broken).body == b'"**********"'


@pytest.mark.parametrize("mark", ["", "{", "7", "[7]", "null", '[["amount", 3]]', '["x"]'])
def test_a_strangers_mark_breaks_nothing(mark: str) -> None:
    envelope = an_envelope("tests.open", body=b'{"amount": 3}', headers={MARK: mark})
    assert json.loads(without_secrets(envelope).body) == {"amount": 3}


def test_a_secret_is_not_in_what_python_shows_and_travels_as_it_is() -> None:
    payment = Payment.model_validate(BODY | {"cards": [], "by_name": {"a": "marked"}})
    assert "marked" not in repr(payment)
    assert "marked" not in str(payment.model_dump())
    assert json.loads(payment.model_dump_json())["token"] == "marked"
