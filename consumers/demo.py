"""The demo: index the documentation of the standard library, one job per module, and search it.

python -m consumers.demo            rebuild the index, and watch the jobs
python -m consumers.demo "a query"  search the index; it is built first where there is none
"""

import asyncio
import shutil
import signal
import sys
from pathlib import Path

from rich.console import Console

from consumers import app, index
from consumers.daemon import GRACE, ConsumerDaemon, DaemonEnded
from consumers.screen import Screen
from consumers.tour import COLLECTION, DemoFailed, Tour
from mqjobs import MqjobsError, Settings
from mqjobs.app.logging import configure_logging
from mqjobs.app.opening import database
from mqjobs.store.database import without_password
from mqjobs.store.migrations import migrate

QUERY = "parse json string"
OVERALL = 150
DEADLINE = OVERALL - 2 * GRACE
"""Seconds for all steps, beside those that the database has to start and the consumer to stop."""
LOG = Path(".mqjobs/demo-consumer.log")


def main() -> int:
    """Answer the query on the command line, or run the whole demo; returns the exit code."""
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.default_int_handler)
    configure_logging(level="warning")
    screen = Screen(console())
    query = " ".join(sys.argv[1:])
    try:
        asyncio.run(prepare())
        if query and asyncio.run(answer(screen, query)):
            return 0
        return demonstrate(screen, query or QUERY)
    except MqjobsError as error:
        screen.say(str(error), style="red")
        return 1
    except KeyboardInterrupt:
        screen.say("Stopped, and the consumer with it.")
        return 130


def console() -> Console:
    """Standard output; lines into a pipe are not cut to the width of a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


async def prepare() -> None:
    """Afterwards the database has the tables of mqjobs and those of the index."""
    async with database(app.settings) as pool:
        async with pool.acquire() as connection:
            await migrate(connection)
        await index.create_schema(pool)


async def answer(screen: Screen, query: str) -> bool:
    """Show what the index has on the query; False where nothing has been indexed yet."""
    async with app.open() as mq:
        if await index.statistics_of(mq.database, COLLECTION) is None:
            return False
        screen.hits(query, await index.search(mq.database, query, limit=5))
        return True


def demonstrate(screen: Screen, query: str) -> int:
    """Run the whole demo beside a consumer that lives as long; returns the exit code."""
    with ConsumerDaemon(LOG) as daemon:
        try:
            last_root = asyncio.run(tour(screen, daemon, query))
            code = daemon.stop()
            if code != 0:
                raise DemoFailed(f"the consumer was asked to stop, and exited with {code}, not 0")
        except (DemoFailed, DaemonEnded, MqjobsError, OSError) as failure:
            screen.failure(str(failure), LOG, daemon.log_tail())
            return 1
    screen.suggestions(last_root, programs())
    return 0


def servers(settings: Settings) -> tuple[str, str]:
    """Which database and which broker this runs on; no password is shown."""
    embedded = f"an embedded PostgreSQL in {settings.data_dir}/"
    url, broker = settings.database_url, settings.broker_url
    return (
        without_password(url) if url else embedded,
        without_password(broker) if broker else "PostgreSQL, the same database",
    )


def programs() -> str:
    """What to write before `mqjobs` so that a shell finds it."""
    folder = Path(sys.executable).parent
    if shutil.which("mqjobs") or not (folder / "mqjobs").exists():
        return ""
    return f"{folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder}/"


async def tour(screen: Screen, daemon: ConsumerDaemon, query: str) -> int:
    """All steps within the deadline; returns the id of the last root job."""
    try:
        async with asyncio.timeout(DEADLINE), app.open() as mq:
            screen.title(*servers(app.settings))
            steps = Tour(screen, mq, daemon)
            await steps.rebuild()
            last_root = await steps.fail()
            screen.hits(query, await index.search(mq.database, query, limit=5))
            return last_root
    except TimeoutError:
        raise DemoFailed(f"the demo did not come to its end within {DEADLINE:.0f} s") from None


if __name__ == "__main__":
    sys.exit(main())
