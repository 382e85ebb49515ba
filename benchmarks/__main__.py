"""The benchmarks from the shell: all rounds, or one measurement in this process."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.place import own_place
from benchmarks.plan import BY_NAME, MEASUREMENTS, ROOTS, Measurement
from benchmarks.report import page, tables
from benchmarks.rounds import run_rounds
from benchmarks.versions import versions

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
ROUNDS, QUICK_ROUNDS = 5, 3


@click.group(help=__doc__)
def main() -> None:
    """See the commands."""


@main.command()
@click.option("--quick", is_flag=True, help="Less work and fewer rounds; the page is not written.")
@click.option("--rounds", type=click.IntRange(min=1), help="How often each is measured.")
@click.option("--only", multiple=True, type=click.Choice(list(BY_NAME)), help="Just these.")
def run(quick: bool, rounds: int | None, only: Sequence[str]) -> None:
    """Measure, print the tables, and write the page where everything was measured in full."""

    def size_of(measurement: Measurement) -> int:
        return measurement.quick_size if quick else measurement.size

    chosen = [each for each in MEASUREMENTS if not only or each.name in only]
    rounds = rounds or (QUICK_ROUNDS if quick else ROUNDS)
    results = run_rounds(chosen, rounds, size_of, tell=lambda line: click.echo(line, err=True))
    click.echo(tables(results, size_of))
    if not quick and not only:
        PAGE.write_text(page(results, size_of, rounds, asyncio.run(versions(*_servers()))))
        click.echo(f"written: {PAGE}")


@main.command()
@click.argument("name", type=click.Choice(list(BY_NAME)))
@click.argument("size", type=click.IntRange(min=ROOTS))
def measure(name: str, size: int) -> None:
    """Do one measurement in this process, and print its figures as JSON."""
    click.echo(json.dumps(asyncio.run(_measure(BY_NAME[name], size))))


async def _measure(measurement: Measurement, size: int) -> dict[str, float]:
    async with own_place(*_servers()) as place:
        return await measurement.run(place, size)


def _servers() -> tuple[str, str]:
    try:
        return os.environ["MQJOBS_DATABASE_URL"], os.environ["MQJOBS_BROKER_URL"]
    except KeyError as missing:
        raise click.UsageError(f"{missing} is not set: say make bench") from None


if __name__ == "__main__":
    main()
