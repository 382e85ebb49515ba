"""The fault suite from the shell: a run, the long test, or the load of a run in this process."""

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import click

from benchmarks.versions import versions
from tests.faults.arena import OVER_POSTGRES, arena
from tests.faults.cycles import Left, left_by_all
from tests.faults.load import load as send_load
from tests.faults.plan import DEFAULT, FAULTS, LONG, WIRED
from tests.faults.report import Numbers, keep, kept, told, with_numbers
from tests.faults.runner import Wish
from tests.faults.runner import run as run_once
from tests.faults.wires import Wires
from tests.support.servers import Broker, Postgres, open_private_broker

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
NUMBERS = ROOT / ".faults"

RATE = 100.0
folder_option = click.option(
    "--folder", type=click.Path(path_type=Path), help="Where ledger and logs stay."
)
rate_option = click.option("--rate", default=RATE, help="Pieces of work sent in a second.")


@click.group(help=__doc__)
def main() -> None:
    """See the commands."""


@main.command()
@click.option("--duration", default=60.0, help="Seconds under fire.")
@click.option("--seed", default=1, help="What is sent when, and which fault comes when.")
@rate_option
@click.option("--faults", default=",".join(DEFAULT), help=f"Of {', '.join(FAULTS)}.")
@click.option("--broker", type=click.Choice(["rabbitmq", "postgres"]), default="rabbitmq")
@click.option("--keep", "keeps", is_flag=True, help="Keep the numbers for the page.")
@folder_option
def run(
    duration: float,
    seed: int,
    rate: float,
    faults: str,
    broker: str,
    keeps: bool,
    folder: Path | None,
) -> None:
    """Load and faults for so long; exit 1 where something forbidden was found."""
    chosen = [name for name in faults.split(",") if name]
    if unknown := set(chosen) - set(FAULTS):
        raise click.UsageError(f"no fault {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    for server in ("broker-", "database-"):
        if len(both := [name for name in chosen if name.startswith(server)]) > 1:
            raise click.UsageError(f"{' and '.join(both)} are harm to one server: choose one")
    numbers = _run(Wish(duration, seed, rate, chosen), broker, folder)
    if keeps:
        keep(numbers, NUMBERS)
    sys.exit(1 if any(numbers.forbidden.values()) else 0)


@main.command()
@click.option("--seed", default=1, help="The first run's; each next run has the next.")
@rate_option
@click.option("--scale", default=1.0, help="Times as long as the plan says.")
@folder_option
def long(seed: int, rate: float, scale: float, folder: Path | None) -> None:
    """All runs of the plan, one after the other; writes the page, and exits 1 as `run` does."""
    runs = []
    for number, (broker, faults, duration) in enumerate(LONG):
        wish = Wish(duration * scale, seed + number, rate, faults)
        runs.append(_run(wish, broker, folder and folder / str(number)))
        keep(runs[-1], NUMBERS)
    _write_page(runs)
    sys.exit(1 if any(sum(numbers.forbidden.values()) for numbers in runs) else 0)


@main.command()
@click.option("--rounds", default=50, help="Rounds of ten.")
def cycles(rounds: int) -> None:
    """Start and stop everything, and exit 1 where something is left of it."""
    clean = True
    for kind in ("rabbitmq", "postgres"):
        with tempfile.TemporaryDirectory() as folder, _servers(kind) as (postgres, bus):
            left = asyncio.run(_cycle(Path(folder), postgres, bus, rounds))
        for name, after in left.after.items():
            click.echo(f"{kind} {name}: {left.before[name]}, afterwards {after}")
            clean = clean and after.is_within(left.before[name])
        click.echo(f"{kind} connections afterwards: {left.connections}")
        clean = clean and not left.connections
    sys.exit(0 if clean else 1)


async def _cycle(folder: Path, postgres: Postgres, bus: Broker | str, rounds: int) -> Left:
    async with arena(folder, postgres=postgres, broker=bus) as place:
        return await left_by_all(place, rounds)


@main.command()
def page() -> None:
    """Write the page from the numbers that were kept."""
    _write_page(kept(NUMBERS))


@main.command()
@click.option("--seed", type=int, required=True)
@click.option("--rate", type=float, required=True)
@click.option("--tree", type=int, required=True)
def load(seed: int, rate: float, tree: int) -> None:
    """Send and steer until told to stop."""
    asyncio.run(send_load(seed, rate, tree))


def _run(wish: Wish, broker: str, folder: Path | None) -> Numbers:
    """One run on servers of its own, told on the terminal. Where something was found, what tells why stays."""
    click.echo(
        f"seed {wish.seed}, {wish.duration:g} s, {','.join(wish.faults) or 'no faults'}, {broker}"
    )
    place = folder or Path(tempfile.mkdtemp(prefix="mqjobs-faults-"))
    if any(place.glob("*.ledger")):
        raise click.UsageError(f"{place} has the ledger of another run: name a new folder")
    with _servers(broker) as (postgres, bus):
        numbers = asyncio.run(_run_once(wish, broker, place, postgres, bus))
    if any(numbers.forbidden.values()):
        click.echo(f"\n  ledger and logs: {place}")
    elif folder is None:
        shutil.rmtree(place)
    return numbers


async def _run_once(
    wish: Wish, broker: str, folder: Path, postgres: Postgres, bus: Broker | str
) -> Numbers:
    bus_url = bus if isinstance(bus, str) else bus.url
    wired = Wires.to(postgres.url, bus_url) if WIRED & set(wish.faults) else nullcontext()
    async with (
        wired as wires,
        arena(folder, postgres=postgres, broker=bus, wires=wires) as place,
    ):
        findings = await run_once(place, wish)
        click.echo(told(findings))
        return Numbers(
            faults=list(wish.faults),
            broker=broker,
            seed=wish.seed,
            rate=wish.rate,
            duration=wish.duration,
            versions=await versions(place.database_url, place.broker_url),
            counts=findings.counts,
            forbidden={name: len(found) for name, found in findings.forbidden.items()},
        )


def _write_page(runs: list[Numbers]) -> None:
    PAGE.write_text(with_numbers(PAGE.read_text("utf-8"), runs), "utf-8")
    click.echo(f"written: {PAGE}")


@contextmanager
def _servers(kind: str) -> Iterator[tuple[Postgres, Broker | str]]:
    with ExitStack() as stack:
        postgres = Postgres()
        stack.callback(postgres.remove)
        postgres.start()
        if kind == "postgres":
            yield postgres, OVER_POSTGRES
            return
        broker = open_private_broker()
        stack.callback(broker.remove)
        broker.start()
        yield postgres, broker


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no server is left behind
    main()
