"""The app: settings, topics and processors, and what is open while it runs."""

import pytest

from mqjobs.app.app import App
from mqjobs.app.settings import Settings
from mqjobs.model.errors import ConfigurationError, UnknownTopic
from tests.support.processors import Hearing
from tests.support.topics import Note, Piece


def test_settings_come_from_the_environment_unless_they_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MQJOBS_CONCURRENCY", "3")
    app = App()

    assert app.settings.concurrency == 3
    assert App(Settings(concurrency=5)).settings.concurrency == 5
    app.configure(Settings(concurrency=7))
    assert app.settings.concurrency == 7


def test_they_are_read_once_and_not_before_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQJOBS_CONCURENCY", "3")
    app = App()

    with pytest.raises(ConfigurationError, match="MQJOBS_CONCURENCY is not a setting"):
        _ = app.settings
    monkeypatch.delenv("MQJOBS_CONCURENCY")
    assert app.settings is app.settings


def test_it_knows_the_topics_that_it_takes_and_those_that_it_only_sends() -> None:
    app = App()
    app.subscribe(Hearing(Note))
    app.sends(Piece)

    assert (app.names["tests.note"], app.names["tests.piece"]) == (Note, Piece)
    assert [binding.topic for binding in app.registry.bindings()] == ["tests.note"]
    with pytest.raises(UnknownTopic):
        _ = app.names["tests.work"]


def test_what_is_wrong_with_a_topic_is_told_where_it_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"App\.sends names 7, which is not a Topic class"):
        App().sends(7)  # type: ignore[arg-type]  # on purpose


async def test_an_open_app_sends_and_shows(database_url: str) -> None:
    app = App(Settings(database_url=database_url))
    app.subscribe(Hearing(Note))

    async with app.open() as mq:
        sent = await mq.producer.send(Note(text="a"))
        assert await mq.jobs.roots() == []
        assert await mq.dead.list() == []
        assert [state.ready for state in await mq.transport.queue_states(["default"])] == [1]
        found = await mq.database.fetchval("SELECT message_id FROM mqjobs.message")

    assert found == sent.message_id
