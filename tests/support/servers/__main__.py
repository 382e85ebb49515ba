"""Private servers from the shell: `python -m tests.support.servers run -- command …`."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from tests.support.servers import Postgres, ServerError, open_broker, prepare_broker

_SERVERS = ("postgres", "rabbitmq")


def main(arguments: Sequence[str]) -> int:
    """Install what is missing, or run servers around a command (without one: until interrupted)."""
    own, command = _split(arguments)
    options = _parser().parse_args(own)
    try:
        if options.what == "install":
            prepare_broker()
            return 0
        with _servers([options.only] if options.only else _SERVERS) as variables:
            return _run(command, variables) if command else _wait(variables)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.support.servers", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("install", help="fetch or install what the broker needs")
    run = commands.add_parser("run", help="run servers around a command, or until interrupted")
    run.add_argument("--only", choices=_SERVERS, help="start this one alone")
    return parser


@contextmanager
def _servers(names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Start servers, hand out the variables that lead to them, and remove them at the end."""
    variables: dict[str, str] = {}
    with ExitStack() as stack:
        if "postgres" in names:
            postgres = Postgres()
            stack.callback(postgres.remove)
            postgres.start()
            variables |= dict.fromkeys(
                ("MQJOBS_DATABASE_URL", "MQJOBS_TEST_DATABASE_URL"), postgres.url
            )
        if "rabbitmq" in names:
            broker = open_broker()
            stack.callback(broker.remove)
            broker.start()
            variables |= dict.fromkeys(("MQJOBS_BROKER_URL", "MQJOBS_TEST_AMQP_URL"), broker.url)
        yield variables


def _wait(variables: dict[str, str]) -> int:
    for name, value in variables.items():
        print(f"export {name}='{value}'")
    print("# running until Ctrl-C", flush=True)
    with suppress(KeyboardInterrupt):
        signal.pause()
    return 0


def _run(command: Sequence[str], variables: dict[str, str]) -> int:
    process = subprocess.Popen(command, env=os.environ | variables)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal's Ctrl-C reaches the command by itself
    return process.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
