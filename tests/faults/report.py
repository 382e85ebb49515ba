"""The report: the numbers of runs, kept as JSON, and the page about reliability that shows them."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.checker import FORBIDDEN, SHOWN, Findings
from tests.support.tables import table

BEGIN, END = "<!-- numbers -->", "<!-- /numbers -->"

OTHER_FORBIDDEN = {
    "log faults": "errors, tracebacks, outages told of twice in the logs of consumers",
    "exit codes": "consumers that ended of themselves, or not with 0 when they were asked to",
}

IN_TABLE = ("child jobs", "deaths", "run again after a death or a stop")


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one run came to, and what it takes to have it again."""

    faults: Sequence[str]
    broker: str
    seed: int
    rate: float
    duration: float
    versions: str
    counts: dict[str, int]
    forbidden: dict[str, int]


def told(findings: Findings) -> str:
    """The counts, and the first few of what should not have been."""
    words = FORBIDDEN | OTHER_FORBIDDEN
    lines = [f"  {count:>9,}  {name}" for name, count in findings.counts.items()]
    lines += ["", "  forbidden:"]
    for name, found in findings.forbidden.items():
        lines.append(f"  {len(found):>9,}  {name}: {words[name]}")
        lines += [f"             {each}" for each in found[:SHOWN]]
        lines += [f"             … and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n".join(lines)


def keep(numbers: Numbers, folder: Path) -> Path:
    """The file that they are in."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{numbers.broker}-{'-'.join(numbers.faults)}-{numbers.seed}.json"
    path = folder / name
    path.write_text(json.dumps(asdict(numbers), indent=2) + "\n", "utf-8")
    return path


def kept(folder: Path) -> list[Numbers]:
    """All that were kept there."""
    return [
        Numbers(**json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))
    ]


def with_numbers(page: str, runs: Sequence[Numbers]) -> str:
    """The page, with these numbers between the two marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{section(runs)}\n{END}{after}"


def section(runs: Sequence[Numbers]) -> str:
    """What is written of these runs."""
    seconds = sum(run.duration for run in runs)
    return "\n\n".join(
        [
            f"{len(runs)} runs, {seconds / 60:.0f} minutes under fire in all.",
            _totals(runs),
            _each(runs),
            f"{max((run.versions for run in runs), key=len)}.",
        ]
    )


def _totals(runs: Sequence[Numbers]) -> str:
    counts, forbidden = _sum(run.counts for run in runs), _sum(run.forbidden for run in runs)
    words = FORBIDDEN | OTHER_FORBIDDEN
    rows = [(name, f"{count:,}") for name, count in counts.items()]
    rows += [(f"**{words[name]}**", f"**{count:,}**") for name, count in forbidden.items()]
    return table(("in all runs", "count"), rows)


def _each(runs: Sequence[Numbers]) -> str:
    rows = [
        (
            ", ".join(run.faults),
            run.broker,
            f"{run.duration:g}",
            f"{run.rate:g}",
            str(run.seed),
            *(f"{run.counts[name]:,}" for name in IN_TABLE),
            f"{sum(run.forbidden.values())}",
        )
        for run in runs
    ]
    heads = ("faults", "broker", "seconds", "rate", "seed", *IN_TABLE, "forbidden")
    return table(heads, rows)


def _sum(each: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in each:
        for name, count in counts.items():
            total[name] += count
    return dict(total)
