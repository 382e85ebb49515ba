"""The benchmarks from the shell: all rounds, the page from what they came to, or a profile."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks import kept
from benchmarks.charts import draw
from benchmarks.kept import Kept
from benchmarks.measure import servers
from benchmarks.plan import BY_NAME, MEASUREMENTS, Extent, Measurement
from benchmarks.profiling import profiled
from benchmarks.report import page, tables
from benchmarks.rounds import Rounds, run_rounds
from benchmarks.targets import ROWS, TARGETS, of_rows
from benchmarks.versions import PEERS, versions

ROOT = Path(__file__).parents[1]
PAGE, CHARTS = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance"
DRAFTS = ROOT / "build" / "benchmarks"
ROUNDS = {Extent.FULL: 5, Extent.MIDDLE: 3, Extent.QUICK: 1}


def _rows(context: click.Context, parameter: click.Parameter, text: str | None) -> list[int] | None:
    if text is None:
        return None
    numbers = [each.strip() for each in text.split(",")]
    if unknown := [each for each in numbers if each not in map(str, ROWS)]:
        raise click.BadParameter(f"no row {', '.join(unknown)}: there are {ROWS[0]} to {ROWS[-1]}")
    return [int(each) for each in numbers]


@click.group(help=__doc__)
def main() -> None:
    """See the commands."""


@main.command()
@click.option(
    "--extent",
    type=click.Choice([str(each) for each in Extent]),
    default=str(Extent.FULL),
    help="How much work; full writes the page.",
)
@click.option("--rounds", type=click.IntRange(min=1), help="How often each is measured.")
@click.option("--rows", callback=_rows, help="Just what these rows need, such as 1,2.")
@click.option("--only", multiple=True, type=click.Choice(list(BY_NAME)), help="Just these.")
@click.option("--loop", type=click.Choice(["uvloop", "asyncio"]), default="uvloop")
def run(
    extent: str, rounds: int | None, rows: list[int] | None, only: Sequence[str], loop: str
) -> None:
    """Measure, print the tables, and write the page where everything was measured in full.

    The figures and their charts are in build/benchmarks in any case, the figures while it goes on.
    """
    chosen, results = _chosen(rows, only), Rounds()
    told = asyncio.run(versions(*servers(), PEERS))
    done = Kept(Extent(extent), rounds or ROUNDS[Extent(extent)], told, results.values)

    def tell(line: str) -> None:
        click.echo(line, err=True)
        done.write(DRAFTS / "results.json")

    run_rounds(chosen, done.rounds, done.size_of, tell, results, loop)
    draw(done.values, DRAFTS)
    click.echo(tables(done.values, done.size_of, TARGETS if rows is None else of_rows(rows)))
    click.echo(f"{told}.")
    if results.failed:
        sys.exit(f"failed: {', '.join(sorted(results.failed))}")
    if done.extent is Extent.FULL and len(chosen) == len(MEASUREMENTS):
        _write_page(done)


@main.command("page")
@click.argument("results", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def write_page(results: Path) -> None:
    """Write the page and its charts anew, from the results of a full run."""
    done = kept.read(results)
    if done.extent is not Extent.FULL:
        raise click.UsageError(f"{results} is of a {done.extent} run: the page is about full ones")
    _write_page(done)


@main.command()
@click.option("--rows", callback=_rows, default="1,3,10", help="Rows to profile, mqjobs' part.")
@click.option("--size", type=click.IntRange(min=2), default=5_000, help="How many pieces.")
@click.option("--top", type=click.IntRange(min=1), default=25, help="How many functions are shown.")
def profile(rows: list[int], size: int, top: int) -> None:
    """Where the time of one consumer goes, by group of modules and by function."""
    for name in dict.fromkeys(target.over for target in of_rows(rows)):
        click.echo(profiled(BY_NAME[name], size, top))


def _chosen(rows: list[int] | None, only: Sequence[str]) -> list[Measurement]:
    if rows is None and not only:
        return list(MEASUREMENTS)
    names = {*only, *(name for each in of_rows(rows or ()) for name in each.measurements)}
    return [one for one in MEASUREMENTS if one.name in names]


def _write_page(done: Kept) -> None:
    PAGE.write_text(page(done.values, done.size_of, done.rounds, done.versions), "utf-8")
    draw(done.values, CHARTS)
    click.echo(f"written: {PAGE}, and charts in {CHARTS}")


if __name__ == "__main__":
    main()
