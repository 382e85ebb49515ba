"""The topics of the documentation index: rebuild a collection, index a module, count."""

from typing import Annotated

from pydantic import Field

from mqjobs import Priority, Retry, Topic

Collection = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
"""`stdlib`, `site-packages`, or the path of a folder that packages are in."""


class ReindexDocs(Topic, name="search.reindex", priority=Priority.LOW):
    """Rebuild the search index of one collection: stdlib, site-packages or a folder."""

    collection: Collection

    def job_name(self) -> str:
        """One collection is rebuilt by one job at a time."""
        return f"search.reindex:{self.collection}"


class IndexModule(Topic, name="search.index_module", priority=Priority.LOW):
    """Index the documentation of one module; sent once per child job.

    It is not tried again: a module that cannot be parsed stays so until somebody edits it.
    """

    collection: Collection
    module: str
    path: str


class RefreshStatistics(Topic, name="search.refresh_statistics", retry=Retry(attempts=3, delay=2)):
    """Count what the index holds of one collection; sent once its rebuild has ended."""

    collection: Collection
