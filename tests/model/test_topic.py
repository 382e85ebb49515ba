"""Topics: what a class says of its messages."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from mqjobs.model.errors import ConfigurationError
from mqjobs.model.priority import Priority
from mqjobs.model.retry import Retry
from mqjobs.model.topic import DEFAULT_QUEUE, Topic, definition_of


class Plain(Topic, name="tests.plain"):
    """Says only its name."""

    path: str


class Detailed(
    Topic,
    name="tests.detailed",
    priority=Priority.LOW,
    queue="slow",
    retry=Retry(attempts=3),
    timeout=1.5,
):
    """Says everything.

    In more than one line.
    """


class Abstract(Topic):
    """A base, never sent."""

    tenant: str


class Concrete(Abstract, name="tests.concrete"):
    """Sent."""

    def job_name(self) -> str:
        return f"import:{self.tenant}"


def test_what_a_topic_does_not_say_is_plain() -> None:
    definition = definition_of(Plain)

    assert definition.name == "tests.plain"
    assert definition.description == "Says only its name."
    assert definition.priority is Priority.NORMAL
    assert definition.queue == DEFAULT_QUEUE
    assert definition.retry == Retry()
    assert definition.timeout is None


def test_a_topic_without_a_docstring_has_no_description() -> None:
    class Silent(Topic, name="tests.silent"):
        pass

    assert definition_of(Silent).description == ""


def test_a_topic_says_everything_in_its_head() -> None:
    definition = definition_of(Detailed)

    assert definition.description == "Says everything.\n\nIn more than one line."
    assert definition.priority is Priority.LOW
    assert definition.queue == "slow"
    assert definition.retry == Retry(attempts=3)
    assert definition.timeout == timedelta(seconds=1.5)


def test_a_topic_that_names_its_job_is_job_aware() -> None:
    assert definition_of(Concrete).is_job_aware
    assert not definition_of(Plain).is_job_aware
    assert Plain(path="a").job_name() is None


def test_a_topic_without_a_name_is_a_base_for_others_and_never_sent() -> None:
    assert Concrete(tenant="nord").job_name() == "import:nord"
    with pytest.raises(
        ConfigurationError, match=r"Abstract has no name: write class Abstract\(Topic"
    ):
        definition_of(Abstract)


def test_a_name_is_not_inherited() -> None:
    class Nameless(Plain):
        """Forgot its own."""

    with pytest.raises(ConfigurationError, match="Nameless has no name"):
        definition_of(Nameless)


@pytest.mark.parametrize("name", ["", "with space", ".dot", "a" * 201, "ümlaut", "a/b", "a\n"])
def test_a_name_that_breaks_the_rules_is_refused_where_the_class_is_made(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a topic"):

        class Wrong(Topic, name=name):
            """Never made."""


@pytest.mark.parametrize("name", ["a", "A_b.c:d-e", "0", "_x", "a" * 200])
def test_a_name_of_letters_digits_and_four_signs_is_taken(name: str) -> None:
    class Right(Topic, name=name):
        """Made."""

    assert definition_of(Right).name == name


def test_a_queue_that_breaks_the_rules_is_refused_with_the_name_of_the_class() -> None:
    with pytest.raises(ConfigurationError, match="Wrong: 'my queue' cannot name a queue"):

        class Wrong(Topic, name="tests.wrong", queue="my queue"):
            """Never made."""


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"priority": 9}, "priority 9"),
        ({"retry": 3}, "retry 3: give a Retry"),
        ({"timeout": 0}, "timeout 0"),
        ({"timeout": -1.0}, "timeout -1.0"),
        ({"timeout": float("inf")}, "timeout inf"),
        ({"timeout": "long"}, "timeout 'long'"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused_with_the_name_of_the_class(
    wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"Wrong: {says}"):

        class Wrong(Topic, name="tests.wrong", **wrong):
            """Never made."""


def test_fields_that_a_topic_does_not_have_are_refused() -> None:
    with pytest.raises(ValidationError, match="color"):
        Plain.model_validate({"path": "a", "color": "red"})


def test_a_body_is_never_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Plain(path="a").path = "b"  # type: ignore[misc]  # frozen
