"""The house: what is where, how large it may be, and what the world sees of it."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import mqjobs

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mqjobs"
TESTS = ROOT / "tests"

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
PACKAGES = sorted(PACKAGE.rglob("__init__.py"))

LINES_OF_A_MODULE = 300
LINES_OF_A_FUNCTION = 50
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "common", "base", "core", "manager", "misc"}

PUBLIC = {
    "App",
    "Context",
    "DelayedProcessor",
    "Interruption",
    "Job",
    "JobRunner",
    "JobStatus",
    "Message",
    "Middleware",
    "MqjobsError",
    "OpenApp",
    "Outgoing",
    "Priority",
    "Proceed",
    "Processor",
    "Producer",
    "Redeliver",
    "Result",
    "Retry",
    "RootJobStopped",
    "RunningJob",
    "Secret",
    "Sent",
    "Settings",
    "Topic",
    "TopicSubscriber",
    "errors",
}

TESTED_ELSEWHERE = {
    # A record without an act of its own: whatever is handed it is tested with it.
    "processing/context.py": "runtime/test_execution.py",
    "processing/services.py": "processing/test_job_runner.py",
    # Parts of the life of a delivery, tested with it.
    "runtime/course.py": "runtime/test_execution.py",
    "runtime/handling.py": "runtime/test_execution.py",
    # The two transports do the same, and one suite says so of both.
    "transport/postgres_inbox.py": "transport/test_seam.py",
    "transport/rabbitmq/inbox.py": "transport/test_seam.py",
    "transport/rabbitmq/publisher.py": "transport/test_seam.py",
    # The connection to a broker, from its opening to its loss, is tested with a broker as one thing.
    "transport/rabbitmq/channel.py": "transport/rabbitmq/test_transport.py",
    "transport/rabbitmq/connection.py": "transport/rabbitmq/test_transport.py",
    "transport/rabbitmq/driver.py": "transport/rabbitmq/test_transport.py",
    "transport/rabbitmq/opening.py": "transport/rabbitmq/test_transport.py",
    # Parts of commands, tested through the commands: in processes, as a shell runs them.
    "__main__.py": "app/cli/test_help.py",
    "app/cli/choosing.py": "app/cli/test_dead.py",
    "app/exits.py": "app/cli/test_failures.py",
    "app/child.py": "app/cli/test_processes.py",
    "app/family.py": "app/cli/test_processes.py",
    "app/link.py": "app/cli/test_processes.py",
    "app/cli/completing.py": "app/cli/test_help.py",
    "app/cli/examination.py": "app/cli/test_doctor.py",
    "app/cli/findings.py": "app/cli/test_doctor.py",
    "app/cli/flags.py": "app/cli/test_help.py",
    "app/cli/job_texts.py": "app/cli/test_jobs.py",
    "app/cli/jobs_steering.py": "app/cli/test_jobs.py",
    "app/cli/office.py": "app/cli/test_jobs.py",
    "app/cli/setup.py": "app/cli/test_failures.py",
}


def place(path: Path) -> str:
    """Where a file is in its tree."""
    return path.relative_to(PACKAGE).as_posix()


def own_tests(path: Path) -> Path:
    """Where the tests of a module are to be."""
    return TESTS / path.relative_to(PACKAGE).parent / f"test_{path.name}"


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_every_module_has_its_tests_at_the_same_place_or_it_is_said_where(path: Path) -> None:
    elsewhere = TESTED_ELSEWHERE.get(place(path))

    if elsewhere is None:
        assert own_tests(path).exists(), f"write {own_tests(path).relative_to(ROOT)}"
    else:
        assert not own_tests(path).exists(), "it is no exception any more"
        assert (TESTS / elsewhere).exists(), f"{elsewhere} is gone"


def test_no_exception_is_made_for_a_module_that_is_gone() -> None:
    assert set(TESTED_ELSEWHERE) <= {place(path) for path in MODULES}


@pytest.mark.parametrize("path", [*PACKAGES, *MODULES], ids=place)
def test_every_file_begins_with_what_it_is_about(path: Path) -> None:
    about = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""

    assert about.splitlines(), "its first line is to say what it is about"


@pytest.mark.parametrize("path", [*PACKAGES, *MODULES], ids=place)
def test_a_file_and_its_functions_can_be_read_at_one_go(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    long = [
        each.name
        for each in functions(path)
        if (each.end_lineno or 0) - each.lineno + 1 > LINES_OF_A_FUNCTION
    ]

    assert lines <= LINES_OF_A_MODULE, f"{lines} lines: part it"
    assert long == [], f"functions of more than {LINES_OF_A_FUNCTION} lines: {long}"


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_a_name_says_what_is_in_the_file(path: Path) -> None:
    assert path.stem not in NAMES_THAT_SAY_NOTHING
    assert path.parent.name not in NAMES_THAT_SAY_NOTHING


def test_the_world_sees_these_names_and_no_other() -> None:
    assert set(mqjobs.__all__) == PUBLIC
    assert list(mqjobs.__all__) == sorted(mqjobs.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_that_the_world_sees_says_what_it_is(name: str) -> None:
    found = getattr(mqjobs, name)

    if isinstance(found, type | ModuleType):
        assert inspect.getdoc(found)


def test_imports_run_downwards_only() -> None:
    program = Path(sys.executable).with_name("lint-imports")

    ran = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
