"""The mqjobs command as a shell runs it: a process of its own, in a folder of its own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqjobs.app.settings import PREFIX

DEADLINE = 60


@dataclass(frozen=True)
class Ran:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as the one JSON document that it is."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """A folder to be in, and MQJOBS_ variables; no others are inherited."""

    folder: Path
    variables: Mapping[str, str]

    async def __call__(self, *words: str, given: str = "", **variables: str) -> Ran:
        """Run mqjobs with these words to its end; `given` is what it reads from standard input."""
        process = await self.start(words, variables)
        try:
            async with asyncio.timeout(DEADLINE):
                out, err = await process.communicate(given.encode())
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    @asynccontextmanager
    async def started(self, *words: str, until: str, **variables: str) -> AsyncIterator["Started"]:
        """A command that goes on; it has written `until` to standard error by now."""
        process = await self.start(words, variables)
        try:
            yield Started(process, await wrote(process, until))
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def start(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        stdin: int = asyncio.subprocess.PIPE,
        stderr: int = asyncio.subprocess.PIPE,
    ) -> asyncio.subprocess.Process:
        """Begin to run mqjobs with these words."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(PREFIX)
        }
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "mqjobs", *words),
            cwd=self.folder,
            env={**inherited, **self.variables, **variables},
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )


@dataclass(frozen=True)
class Started:
    """A command that goes on; `line` is what it wrote when it had begun."""

    process: asyncio.subprocess.Process
    line: str

    async def wrote(self, text: str) -> str:
        """The next line that it writes to standard error with this text in it."""
        return await wrote(self.process, text)

    def signal(self, number: signal.Signals) -> None:
        """It gets this signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, when it has ended."""
        async with asyncio.timeout(DEADLINE):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


async def wrote(process: asyncio.subprocess.Process, text: str) -> str:
    """The next line with this text that the process writes to standard error."""
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE):
        while text not in (line := (await process.stderr.readline()).decode()):
            assert line, f"it ended and never wrote {text!r}"
    return line
