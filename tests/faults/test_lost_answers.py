"""Answers that get lost: what was done is done once, and what was not is done."""

from pathlib import Path

import pytest

from tests.faults import lost_answers
from tests.faults.harm import Harm
from tests.faults.ledger import read
from tests.faults.trial import SLOW_MACHINE, trial
from tests.support.servers import Broker, Postgres
from tests.support.waiting import eventually


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("harm", "least"),
    [
        (lost_answers.commits_lost, 3),
        (lost_answers.confirms_lost, 3),
        (lost_answers.killed_at_confirm, 1),
    ],
)
async def test_what_was_done_and_never_answered_is_done_once(
    tmp_path: Path, own_postgres: Postgres, own_broker: Broker, harm: Harm, least: int
) -> None:
    def lost() -> int:
        return sum(event.get("name") == lost_answers.LOST for event in read(tmp_path))

    async with (
        trial(tmp_path, own_postgres, own_broker) as on_trial,
        on_trial.under(harm, harm.__name__),
    ):
        await eventually(lambda: lost() >= least, within=SLOW_MACHINE, what="lost answers")
