"""The health port: answers whoever asks properly, whatever others do."""

import asyncio
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from mqjobs.app import health_port
from mqjobs.app.health import Health
from mqjobs.app.health_port import answering
from mqjobs.app.snapshot import Phase, Snapshot
from mqjobs.model.errors import ConfigurationError
from tests.support.http import Asked, ask
from tests.support.servers.network import free_ports
from tests.support.waiting import eventually


@pytest.fixture
def health() -> Health:
    health = Health()
    health.hear(1, Snapshot(phase=Phase.CONSUMING))
    return health


@pytest.fixture
def port(health: Health) -> Iterator[int]:
    [port] = free_ports(1)
    with answering(health, "127.0.0.1", port):
        yield port


async def test_it_answers_at_three_paths_and_says_so_at_others(port: int) -> None:
    assert (await ask(port, "/live")).status == 200
    assert (await ask(port, "/ready?verbose")).json["ready"] is True
    assert "mqjobs_attempts_total" in (await ask(port, "/metrics")).text
    assert await ask(port, "/") == Asked(404, "there are /live, /ready and /metrics\n")


async def test_a_head_is_asked_for_alone_and_other_methods_are_refused_without_a_word_in_the_log(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    head = await said(port, b"HEAD /live HTTP/1.0\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert head.endswith(b"\r\n\r\n")
    refused = await said(port, b"POST /live HTTP/1.0\r\n\r\n")
    assert refused.startswith(b"HTTP/1.0 501")
    assert refused.endswith(b"\r\n\r\nUnsupported method ('POST')\n")
    assert capfd.readouterr().err == ""


async def said(port: int, request: bytes) -> bytes:
    """All that is answered to this request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def test_it_answers_while_the_event_loop_is_held_up(port: int, health: Health) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
        assert line.recv(64).startswith(b"HTTP/1.0 200")


async def test_who_dawdles_is_cut_off_and_holds_nobody_up(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_port, "SECONDS_FOR_A_REQUEST", 0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"GET /rea")
        assert (await ask(port, "/ready")).status == 200
        began = time.monotonic()
        assert await asyncio.to_thread(line.recv, 64) == b""
        assert time.monotonic() - began < 5


async def test_more_than_so_many_are_not_listened_to_and_later_they_are(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_port, "SECONDS_FOR_A_REQUEST", 1.0)
    lines = [
        socket.create_connection(("127.0.0.1", port), timeout=10)
        for _ in range(health_port.AT_ONCE + 1)
    ]
    try:
        assert await asyncio.to_thread(lines[-1].recv, 64) == b""

        async def is_answered() -> bool:
            return (await ask(port, "/ready")).status == 200

        await eventually(is_answered, what="an answer")
    finally:
        for line in lines:
            line.close()


async def test_a_request_that_is_none_is_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"x" * 70_000 + b"\r\n\r\n")
        assert b"414" in await asyncio.to_thread(line.recv, 4096)


async def test_without_the_extra_metrics_say_what_to_install(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "mqjobs.app.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    answer = await ask(port, "/metrics")

    assert answer.status == 501
    assert "pip install 'mqjobs[metrics]'" in answer.text


def test_a_port_that_somebody_has_is_an_error_of_configuration(port: int) -> None:
    with (
        pytest.raises(ConfigurationError, match=f"^MQJOBS_HEALTH_PORT {port} cannot be had"),
        answering(Health(), "127.0.0.1", port),
    ):
        pass


def test_without_a_port_nobody_answers() -> None:
    with answering(Health(), "127.0.0.1", None):
        pass
