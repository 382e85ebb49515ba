from pathlib import Path

from benchmarks.kept import Kept, read
from benchmarks.plan import BY_NAME, Extent
from benchmarks.rounds import Rounds


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    rounds = Rounds()
    rounds.add("plain", {"per second": 1.0})
    rounds.add("plain", {"per second": 2.0})
    kept = Kept(Extent.MIDDLE, 3, "mqjobs 0.0", rounds.values)

    kept.write(tmp_path / "drafts" / "results.json")

    assert read(tmp_path / "drafts" / "results.json") == kept


def test_the_extent_says_how_much_was_measured() -> None:
    large = BY_NAME["large-root"]

    sizes = [Kept(extent, 1, "", {}).size_of(large) for extent in Extent]

    assert sizes == [1_000_000, 200_000, 5_000]
    assert Kept(Extent.MIDDLE, 1, "", {}).size_of(BY_NAME["plain"]) == BY_NAME["plain"].sizes.full
