import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mqjobs.model.status import JobStatus
from tests.support.shell import DEADLINE, Shell
from tests.support.stored_jobs import StoredJobs


class Asked:
    """A command on a terminal, which has asked its question."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self.process = process
        self.terminal = terminal

    def answer(self, text: str) -> None:
        """Type this."""
        os.write(self.terminal, f"{text}\n".encode())

    async def ended(self) -> tuple[int | None, str, str]:
        """Its exit code, and what it wrote besides the question."""
        async with asyncio.timeout(DEADLINE):
            out, err = await self.process.communicate()
        return self.process.returncode, out.decode().strip(), err.decode().strip()


@asynccontextmanager
async def asked(shell: Shell, *words: str) -> AsyncIterator[Asked]:
    terminal, its_side = os.openpty()
    process = await shell.start(words, {}, stdin=its_side)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            await process.stdout.readuntil(b"? [y/N]: ")
        yield Asked(process, terminal)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
        os.close(its_side)
        os.close(terminal)


async def test_a_job_is_interrupted_where_the_answer_is_yes(
    shell: Shell, stored: StoredJobs
) -> None:
    root = await stored.root()
    async with asked(shell, "jobs", "interrupt", str(root.id)) as question:
        question.answer("y")
        assert await question.ended() == (0, f"job {root.id} is cancelled", "")
    assert await stored.status(root.id) is JobStatus.CANCELLED


async def test_nothing_is_done_where_the_answer_is_no(shell: Shell, stored: StoredJobs) -> None:
    root = await stored.root()
    async with asked(shell, "jobs", "interrupt", str(root.id)) as question:
        question.answer("n")
        assert await question.ended() == (1, "", "Error: nothing was done")
    assert await stored.status(root.id) is JobStatus.NEW
