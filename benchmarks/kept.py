"""What a run came to, kept as a file, so that the page can be written from it without measuring again."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.plan import Extent, Measurement
from benchmarks.targets import Results


@dataclass(frozen=True, slots=True)
class Kept:
    """The values of all rounds, and what was measured how."""

    extent: Extent
    rounds: int
    versions: str
    values: Results

    def size_of(self, measurement: Measurement) -> int:
        """In how many pieces that work was done."""
        return measurement.sizes.of(self.extent)

    def write(self, path: Path) -> None:
        """Keep it in this file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def read(path: Path) -> Kept:
    """What was kept in this file."""
    kept = json.loads(path.read_text("utf-8"))
    return Kept(Extent(kept["extent"]), kept["rounds"], kept["versions"], kept["values"])
