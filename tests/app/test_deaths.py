"""Of a process that is gone the database hears at once."""

from datetime import timedelta
from uuid import uuid4

from structlog.testing import capture_logs

from mqjobs.app.deaths import tell_of_death
from mqjobs.app.settings import Settings
from mqjobs.model.status import JobStatus
from mqjobs.model.tally import Count, Tally
from tests.support.consuming import Stage
from tests.support.processors import Gate, unique
from tests.support.servers.network import free_ports
from tests.support.topics import Work


async def test_what_it_ran_runs_again_whatever_its_heartbeat_says(database_url: str) -> None:
    stage, gate, tally = Stage(database_url), Gate(), Tally()
    async with stage.running(unique(gate), dead_after=3600) as mq:
        root_id = await mq.start(Work())
        await gate.reached(1)
        [consumer] = mq.consumers

        await tell_of_death(Settings(database_url=database_url), consumer.id, tally)

        [status] = await mq.fetch("SELECT status FROM mqjobs.job WHERE root_id = $1", root_id)
        assert JobStatus(status["status"]) is JobStatus.FAILED_REDELIVERED
        gate.open()

    assert tally.counts() == {(Count.REAPED, "redelivered"): 1}


async def test_while_the_database_is_away_the_heartbeat_has_to_tell_it() -> None:
    [port] = free_ports(1)
    away = Settings(
        database_url=f"postgresql://nobody:secret@127.0.0.1:{port}/jobs",
        heartbeat_interval=timedelta(seconds=0.1),
        dead_after=timedelta(seconds=0.2),
    )

    with capture_logs() as lines:
        await tell_of_death(away, uuid4(), Tally())

    [line] = [line for line in lines if line["event"] == "death_not_told"]
    assert "no PostgreSQL at" in line["error"]
    assert "secret" not in str(lines)
