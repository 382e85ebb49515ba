"""The message about a root job's end."""

from mqjobs.model.priority import Priority
from mqjobs.model.status import JobStatus
from mqjobs.model.stopped import RootJobStopped
from mqjobs.model.topic import definition_of


def test_the_message_about_an_end_goes_ahead_of_common_work() -> None:
    definition = definition_of(RootJobStopped)

    assert definition.name == "mqjobs.root_job_stopped"
    assert definition.priority is Priority.HIGH
    assert not definition.is_job_aware


def test_it_reads_what_the_database_writes() -> None:
    body = RootJobStopped.model_validate_json('{"job_id": 7, "name": "import", "status": "failed"}')

    assert body == RootJobStopped(job_id=7, name="import", status=JobStatus.FAILED)
