"""Topic classes by name."""

import pytest

from mqjobs.model.errors import ConfigurationError, UnknownTopic
from mqjobs.processing.topic_names import TopicNames
from tests.support import topics


def names(*classes: type) -> TopicNames:
    found = TopicNames()
    for each in classes:
        found.add(each, named_by="tests")
    return found


def test_a_class_is_found_by_its_name() -> None:
    found = names(topics.Note, topics.Piece)

    assert found["tests.note"] is topics.Note
    assert "tests.piece" in found
    assert "tests.work" not in found
    assert list(found) == [topics.Note, topics.Piece]


def test_a_name_that_is_unknown_brings_the_nearest_there_is() -> None:
    with pytest.raises(UnknownTopic, match=r"no topic 'tests.noet'; did you mean tests.note\?"):
        names(topics.Note, topics.Piece)["tests.noet"]


def test_a_name_that_is_like_no_other_brings_them_all() -> None:
    with pytest.raises(UnknownTopic, match=r"no topic 'x'; known are tests.note, tests.piece"):
        names(topics.Note, topics.Piece)["x"]
    with pytest.raises(UnknownTopic, match="known are none"):
        names()["x"]


def test_knowing_a_class_twice_is_knowing_it_once() -> None:
    assert list(names(topics.Note, topics.Note)) == [topics.Note]


def test_who_names_something_else_is_named_himself() -> None:
    with pytest.raises(ConfigurationError, match="tests names <class 'int'>, which is not a Topic"):
        names(int)
