"""The health port: answers over HTTP from a thread of its own, also while the event loop is held up."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from mqjobs.app.health import Answer, Health
from mqjobs.model.errors import ConfigurationError

log = structlog.get_logger(__name__)

AT_ONCE = 16
SECONDS_FOR_A_REQUEST = 5.0
WITHOUT_METRICS = Answer(
    501, "text/plain", "the extra is not installed: pip install 'mqjobs[metrics]'\n"
)


@contextmanager
def answering(health: Health, host: str, port: int | None) -> Iterator[None]:
    """/live, /ready and /metrics are answered within the block, where there is a port.

    Raises ConfigurationError where the port cannot be had.
    """
    if port is None:
        yield
        return
    try:
        server = _Server((host, port), _ways(health))
    except OSError as error:
        raise ConfigurationError(
            f"MQJOBS_HEALTH_PORT {port} cannot be had at {host}: {error.strerror or error}"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="mqjobs health", daemon=True)
    thread.start()
    log.info("answering", health=f"http://{host}:{port}/ready")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _ways(health: Health) -> Mapping[str, Callable[[], Answer]]:
    return {"/live": health.live, "/ready": health.ready, "/metrics": lambda: _metrics(health)}


def _metrics(health: Health) -> Answer:
    try:
        from mqjobs.app.metrics import KIND, exposition  # noqa: PLC0415  an extra
    except ImportError:
        return WITHOUT_METRICS
    return Answer(200, KIND, exposition(health.snapshots()))


class _Server(ThreadingHTTPServer):
    """So many requests at once, and so long for each: one that dawdles is cut off, however it does it."""

    def __init__(self, address: tuple[str, int], ways: Mapping[str, Callable[[], Answer]]) -> None:
        self.ways = ways
        self.address_family = socket.getaddrinfo(*address)[0][0]
        self._room = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(address, _Request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, or not at all where too many are asking."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        over = threading.Timer(SECONDS_FOR_A_REQUEST, _cut, [request])
        over.daemon = True
        over.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            over.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asks has gone; nobody needs to hear of it."""
        log.debug("health_request_failed", exc_info=True)


def _cut(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Request(BaseHTTPRequestHandler):
    server: _Server
    error_content_type = "text/plain"
    error_message_format = "%(message)s\n"

    def version_string(self) -> str:
        return "mqjobs"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        way = self.server.ways.get(self.path.partition("?")[0])
        if way is None:
            self._answer(Answer(404, "text/plain", "there are /live, /ready and /metrics\n"))
        else:
            self._answer(way())

    def _answer(self, answer: Answer) -> None:
        body = answer.text.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Not on standard error, and only for those who want to know it all."""
        log.debug("health_asked", request=self.requestline, status=code)

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        log.debug("health_refused", why=format % args)
