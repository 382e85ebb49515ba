"""What an interrupt came to, in words that logs and the shell can show."""

from mqjobs.model.interruption import Interruption


def test_an_interruption_reads_as_its_word() -> None:
    assert [str(each) for each in Interruption] == ["cancelled", "stopping", "ended_before"]
