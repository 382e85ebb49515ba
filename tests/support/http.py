"""Asking over HTTP."""

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asked:
    """What was answered; status 0: nobody answered."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        """The answer as the JSON document that it is."""
        return json.loads(self.text)


async def ask(port: int, path: str) -> Asked:
    """The answer of this machine at this port."""
    return await asyncio.to_thread(_ask, f"http://127.0.0.1:{port}{path}")


def _ask(url: str) -> Asked:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return Asked(answer.status, answer.read().decode())
    except urllib.error.HTTPError as refused:
        with refused:
            return Asked(refused.code, refused.read().decode())
    except OSError as error:
        return Asked(0, str(error))
