"""Certificates: what no other try mends is told at once, and never gone round."""

import ssl
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from mqjobs.model.errors import ConfigurationError


def certificate_fault(error: BaseException) -> str | None:
    """Why the server's certificate is not to be trusted; None where something else has gone wrong."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not to be trusted: {cause.verify_message}"
        cause = cause.__cause__
    return None


def require_files(variable: str, url: str, options: Iterable[str]) -> None:
    """The files that these options of the URL name can be read. Raises ConfigurationError for one that cannot."""
    named = dict(parse_qsl(urlsplit(url).query))
    for option in options:
        if (path := named.get(option)) is None:
            continue
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"{variable}: {option} {path!r} cannot be read: {error.strerror}"
            ) from None
