"""The command line: `mqjobs …`, the same as `python -m mqjobs …`."""

import platform
from importlib.metadata import version

import click

from mqjobs.app.cli.completing import completion
from mqjobs.app.cli.daemons import consume, relay
from mqjobs.app.cli.dead import dead
from mqjobs.app.cli.doctor import doctor
from mqjobs.app.cli.failures import FailingGroup
from mqjobs.app.cli.jobs import jobs
from mqjobs.app.cli.listings import consumers, processors, topics
from mqjobs.app.cli.migrating import migrate
from mqjobs.app.cli.queues import queues
from mqjobs.app.cli.sending import send
from mqjobs.app.settings import OF_FLAGS

LIBRARIES = ("asyncpg", "aio-pika", "pydantic", "click")
EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 broker, 4 database, 130 stopped at once."


@click.group(
    cls=FailingGroup,
    context_settings={
        "auto_envvar_prefix": OF_FLAGS,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
    epilog=EXIT_CODES,
)
@click.version_option(
    version("mqjobs"),
    prog_name="mqjobs",
    message=f"%(prog)s %(version)s, Python {platform.python_version()}, "
    + ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    + f", {platform.system()}",
)
def main() -> None:
    """Message-queue consumers with jobs: PostgreSQL remembers, RabbitMQ carries."""


for command in (
    consume,
    send,
    topics,
    queues,
    processors,
    jobs,
    dead,
    consumers,
    relay,
    migrate,
    doctor,
    completion,
):
    main.add_command(command)

__all__ = ["main"]
