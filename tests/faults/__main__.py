"""The fault suite from the shell: a run, or the load of one in this process."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import click

from tests.faults.arena import OVER_POSTGRES, arena
from tests.faults.checker import FORBIDDEN, SHOWN, Findings
from tests.faults.load import load as send_load
from tests.faults.plan import DEFAULT, FAULTS, WIRED
from tests.faults.runner import Wish
from tests.faults.runner import run as run_once
from tests.faults.wires import Wires
from tests.support.servers import Broker, Postgres, open_private_broker


@click.group(help=__doc__)
def main() -> None:
    """See the commands."""


@main.command()
@click.option("--duration", type=float, default=60, help="Seconds under fire.")
@click.option("--seed", type=int, default=1)
@click.option("--rate", type=float, default=60, help="Pieces of work sent in a second.")
@click.option("--faults", default=",".join(DEFAULT), help=f"Of {', '.join(FAULTS)}.")
@click.option("--broker", type=click.Choice(["rabbitmq", "postgres"]), default="rabbitmq")
@click.option("--consumers", type=int, default=3)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the ledger and logs stay.")
def run(
    duration: float,
    seed: int,
    rate: float,
    faults: str,
    broker: str,
    consumers: int,
    folder: Path | None,
) -> None:
    """Load and faults for so long; exit 1 where something forbidden was found."""
    wish = Wish(duration, seed, rate, [name for name in faults.split(",") if name], consumers)
    with (
        tempfile.TemporaryDirectory(prefix="mqjobs-faults-") as temporary,
        _servers(broker) as (postgres, bus),
    ):
        findings = asyncio.run(_run(wish, folder or Path(temporary), postgres, bus))
    click.echo(f"seed {seed}, {duration:g} s, {faults}, {broker}")
    click.echo(told(findings))
    sys.exit(0 if findings.clean else 1)


@main.command()
@click.option("--seed", type=int, required=True)
@click.option("--rate", type=float, required=True)
@click.option("--tree", type=int, required=True)
def load(seed: int, rate: float, tree: int) -> None:
    """Send and steer until told to stop."""
    asyncio.run(send_load(seed, rate, tree))


async def _run(wish: Wish, folder: Path, postgres: Postgres, broker: Broker | str) -> Findings:
    async with AsyncExitStack() as stack:
        wires = None
        if WIRED & set(wish.faults):
            broker_url = broker if isinstance(broker, str) else broker.url
            wires = await stack.enter_async_context(Wires.to(postgres.url, broker_url))
        place = await stack.enter_async_context(
            arena(folder, postgres=postgres, broker=broker, wires=wires)
        )
        return await run_once(place, wish)


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


def told(findings: Findings) -> str:
    """The counts, and the first few of what should not have been."""
    lines = [f"  {count:>9,}  {name}" for name, count in findings.counts.items()]
    for name, found in findings.forbidden.items():
        lines.append(f"  {len(found):>9,}  {name}: {FORBIDDEN.get(name, '')}")
        lines += [f"             {each}" for each in found[:SHOWN]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
