"""One measurement in this process: `python -m benchmarks.measure NAME SIZE` prints its figures as JSON."""

import asyncio
import json
import os
from pkgutil import resolve_name

import click
import uvloop

from benchmarks.place import own_place
from benchmarks.plan import BY_NAME, Measurement
from benchmarks.tally import Profiler


@click.command(help=__doc__)
@click.argument("name", type=click.Choice(list(BY_NAME)))
@click.argument("size", type=click.IntRange(min=2))
@click.option("--loop", type=click.Choice(["uvloop", "asyncio"]), default="uvloop")
def main(name: str, size: int, loop: str) -> None:
    """See the module."""
    click.echo(json.dumps(measured(BY_NAME[name], size, loop)))


def measured(
    measurement: Measurement, size: int, loop: str, profiler: Profiler | None = None
) -> dict[str, float]:
    """The figures of one measurement on so many pieces; its counted part is profiled, where it counts by tally."""
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_measure(measurement, size, profiler))


async def _measure(
    measurement: Measurement, size: int, profiler: Profiler | None
) -> dict[str, float]:
    run = resolve_name(measurement.run)
    async with own_place(*servers(), profiler) as place:
        figures: dict[str, float] = await run(place, size, **measurement.options)
    return figures


def servers() -> tuple[str, str]:
    """The URLs of the database and of the broker to measure on."""
    try:
        return os.environ["MQJOBS_DATABASE_URL"], os.environ["MQJOBS_BROKER_URL"]
    except KeyError as missing:
        raise click.UsageError(f"{missing} is not set: say make bench") from None


if __name__ == "__main__":
    main()
