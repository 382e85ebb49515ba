"""Ports of this machine: finding free ones, waiting until somebody answers."""

import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

HOST = "127.0.0.1"

# Below the range from which systems take ports for outgoing connections: nobody is given the port
# of a server that is down for a moment, and a client that reconnects never meets itself there.
_PORTS = range(20_000, 32_000)
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"


def free_ports(count: int) -> list[int]:
    """Different ports on which nobody listens now."""
    ports: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_PORTS, len(_PORTS)):
            if len(ports) == count:
                return ports
            probe = held.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
    raise OSError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def answers_amqp(port: int) -> bool:
    """Whether a broker there takes up the AMQP 0-9-1 handshake."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.settimeout(5)
            connection.sendall(_PROTOCOL_HEADER)
            return connection.recv(1) == _METHOD_FRAME
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], deadline: timedelta) -> bool:
    """Wait for a condition; False where it did not come true in time."""
    until = time.monotonic() + deadline.total_seconds()
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
