import pytest
from pydantic import ValidationError

from mqjobs.model.topic import Topic, definition_of
from topics.search import IndexModule, RefreshStatistics, ReindexDocs


def test_a_collection_is_rebuilt_by_one_job_at_a_time() -> None:
    assert ReindexDocs(collection="stdlib").job_name() == "search.reindex:stdlib"
    assert ReindexDocs(collection="/srv/code").job_name() == "search.reindex:/srv/code"


def test_only_the_rebuild_is_born_with_a_job() -> None:
    topics: tuple[type[Topic], ...] = (ReindexDocs, IndexModule, RefreshStatistics)

    assert {definition_of(topic).name: definition_of(topic).is_job_aware for topic in topics} == {
        "search.reindex": True,
        "search.index_module": False,
        "search.refresh_statistics": False,
    }


@pytest.mark.parametrize("topic", [ReindexDocs, IndexModule, RefreshStatistics])
def test_every_topic_describes_itself(topic: type[Topic]) -> None:
    assert definition_of(topic).description.endswith(".")


@pytest.mark.parametrize("collection", ["", "with\0nul", "x" * 201])
def test_a_collection_that_could_not_name_a_job_is_refused(collection: str) -> None:
    with pytest.raises(ValidationError, match="collection"):
        ReindexDocs(collection=collection)
