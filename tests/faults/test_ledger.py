from pathlib import Path

import pytest

from mqjobs import Redeliver
from tests.faults.ledger import Ledger, Outcome, What, process_name, read


def test_what_several_processes_write_is_read_in_the_order_in_which_it_happened(
    tmp_path: Path,
) -> None:
    one, other = Ledger(tmp_path, "one"), Ledger(tmp_path, "other")
    other.write(What.FAULT, name="first")
    one.write(What.FAULT, name="second")
    other.write(What.FAULT, name="before all", at=0.0)

    events = read(tmp_path)

    assert [event.get("name") for event in events if event.what is What.FAULT] == [
        "before all",
        "first",
        "second",
    ]
    assert {event.by for event in events} == {one.by, other.by}


def test_a_run_is_written_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "one")
    with ledger.run(job=1, lease=2):
        assert read(tmp_path)[-1].what is What.START
    with ledger.run() as run:
        run.value = False
    with pytest.raises(Redeliver), ledger.run():
        raise Redeliver

    ends = [event for event in read(tmp_path) if event.what is What.END]

    assert [end.get("outcome") for end in ends] == [
        Outcome.TRUE,
        Outcome.FALSE,
        Outcome.REDELIVER,
    ]
    assert len({end.get("run") for end in ends}) == 3


def test_a_process_has_a_name_that_tells_it_from_its_successor() -> None:
    assert process_name("consumer-1", 7) == "consumer-1.7"
