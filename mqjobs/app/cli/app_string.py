"""From `module:attribute` to the app that it names."""

import sys
import sysconfig
import tomllib
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from mqjobs.app.app import App
from mqjobs.model.errors import ConfigurationError, MqjobsError

WAYS = 'give --app module:attribute, set MQJOBS_APP, or write app = "…" under [tool.mqjobs] in pyproject.toml'

DEPTH = 5
PACKAGE = Path(__file__).parents[2]


def app_of_project(folder: Path) -> str | None:
    """What the nearest pyproject.toml, here or above, has as `app` under [tool.mqjobs].

    Its folder is then a place to import from. Raises ConfigurationError for a file that cannot be read.
    """
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            named = (
                tomllib.loads(file.read_text("utf-8")).get("tool", {}).get("mqjobs", {}).get("app")
            )
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{file} cannot be read: {error}") from None
        if named is None:
            return None
        if not isinstance(named, str):
            raise ConfigurationError(
                f'{file}: app under [tool.mqjobs] is {named!r}\nwrite app = "module:attribute"'
            )
        import_from(place)
        return named
    return None


def import_from(folder: Path) -> None:
    """Modules in this folder can be imported."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def load_app(named: str) -> App:
    """The app that `module:attribute` names; attributes of attributes, too, and modules in the current folder.

    Raises ConfigurationError: what is wrong, and on the next line what to do; for a module that raises when it is
    imported, with its own traceback.
    """
    module_name, _, attribute = named.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"the app {named!r} is not of the form module:attribute\n{WAYS}")
    import_from(Path.cwd())
    found: Any = _module(module_name)
    for part in attribute.split("."):
        found = _attribute(found, part, named)
    if not isinstance(found, App):
        raise ConfigurationError(
            f"{named} is of type {type(found).__name__}, not an App\n{_apps_in(module_name)}"
        )
    return found


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _raised(name, error) from None
        raise ConfigurationError(
            f"there is no module {error.name!r} in {Path.cwd()} or installed\n{_nearest_module(name)}"
        ) from None
    except (Exception, SystemExit) as error:
        raise _raised(name, error) from None


def _raised(name: str, error: BaseException) -> ConfigurationError:
    """Without the frames of the import system, and of who asked. Our own errors say enough with the line."""
    shown = traceback.TracebackException.from_exception(error, compact=True)
    frames = [frame for frame in shown.stack if not _is_importing(frame)]
    if isinstance(error, MqjobsError):
        theirs = [frame for frame in frames if not _is_library(frame)]
        where = f", at line {theirs[-1].lineno} of {theirs[-1].filename}" if theirs else ""
        return ConfigurationError(f"{error}\nmend module {name!r}{where}")
    shown.stack = traceback.StackSummary.from_list(frames[-DEPTH:])
    text = "".join(shown.format()).rstrip()
    return ConfigurationError(
        f"module {name!r} cannot be imported, it raises {type(error).__name__}\nmend it:\n\n{text}"
    )


def _is_importing(frame: traceback.FrameSummary) -> bool:
    return "importlib" in frame.filename or frame.filename == __file__


def _is_library(frame: traceback.FrameSummary) -> bool:
    return (
        frame.filename.startswith("<")
        or Path(frame.filename).is_relative_to(Path(sysconfig.get_path("purelib")))
        or Path(frame.filename).is_relative_to(PACKAGE)
    )


def _attribute(owner: object, name: str, named: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError:
        where = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
        raise ConfigurationError(
            f"the app {named!r} is not there: {where} has no {name!r}\n"
            f"{_did_you_mean(name, vars(owner) if hasattr(owner, '__dict__') else ())}"
        ) from None


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else "name the attribute that App() was given to"


def _nearest_module(name: str) -> str:
    here = [
        path.stem
        for path in Path.cwd().iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    near = get_close_matches(name.partition(".")[0], here, n=1)
    return f"did you mean {near[0]}?" if near else "go to the folder that it is in, or install it"


def _apps_in(module_name: str) -> str:
    apps = [
        name for name, value in vars(sys.modules[module_name]).items() if isinstance(value, App)
    ]
    if not apps:
        return f"make one in {module_name}: app = App()"
    return f"did you mean {module_name}:{apps[0]}?"
