from pathlib import Path

import pytest

from consumers.modules import Module, find_modules, module_name, roots_of


def write(root: Path, *files: str) -> None:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(*roots: Path) -> list[str]:
    return [module.name for module in find_modules(roots)]


def test_modules_have_the_name_that_an_import_uses_and_come_in_its_order(tmp_path: Path) -> None:
    write(tmp_path, "zoo.py", "animals/__init__.py", "animals/cat.py", "animals/wild/lion.py")

    assert find_modules([tmp_path]) == [
        Module("animals", tmp_path / "animals/__init__.py"),
        Module("animals.cat", tmp_path / "animals/cat.py"),
        Module("animals.wild.lion", tmp_path / "animals/wild/lion.py"),
        Module("zoo", tmp_path / "zoo.py"),
    ]


@pytest.mark.parametrize(
    "file",
    [
        "tests/test_cat.py",
        "animals/test/lion.py",
        "animals/idle_test/lion.py",
        "animals/_vendor/six.py",
        "animals/__pycache__/cat.py",
        "site-packages/other.py",
        "dist-packages/other.py",
        "animals-1.0.dist-info/entry.py",
        ".hidden/cat.py",
        "animals/2to3.py",
        "animals/cat-tail.py",
        "animals/cat.pyc",
        "animals/cat.pyi",
        "animals/py",
    ],
)
def test_what_no_import_reaches_and_what_nobody_would_look_for_is_left_out(
    tmp_path: Path, file: str
) -> None:
    write(tmp_path, "animals/cat.py", file)

    assert names(tmp_path) == ["animals.cat"]


def test_names_that_only_look_like_tests_stay(tmp_path: Path) -> None:
    write(tmp_path, "unittest/case.py", "contest.py", "testing/tools.py")

    assert names(tmp_path) == ["contest", "testing.tools", "unittest.case"]


def test_names_beyond_ascii_are_names(tmp_path: Path) -> None:
    write(tmp_path, "größe.py")

    assert names(tmp_path) == ["größe"]


def test_a_package_goes_before_a_module_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, "cat.py", "cat/__init__.py")

    assert find_modules([tmp_path]) == [Module("cat", tmp_path / "cat/__init__.py")]


def test_a_module_goes_before_a_folder_of_its_name_that_is_no_package(tmp_path: Path) -> None:
    write(tmp_path, "cat.py", "cat/tail.py")

    assert find_modules([tmp_path]) == [
        Module("cat", tmp_path / "cat.py"),
        Module("cat.tail", tmp_path / "cat/tail.py"),
    ]


def test_the_first_folder_that_has_a_name_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write(first, "cat.py")
    write(second, "cat.py", "dog.py")

    assert find_modules([first, second]) == [
        Module("cat", first / "cat.py"),
        Module("dog", second / "dog.py"),
    ]


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    write(tmp_path, "animals/cat.py")
    (tmp_path / "animals" / "again").symlink_to(tmp_path, target_is_directory=True)

    assert names(tmp_path) == ["animals.cat"]


def test_a_folder_without_modules_has_none(tmp_path: Path) -> None:
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("relative", "name"),
    [
        ("json/__init__.py", "json"),
        ("json/decoder.py", "json.decoder"),
        ("json/__main__.py", "json.__main__"),
        ("__init__.py", None),
        ("a.b.py", None),
    ],
)
def test_a_file_has_the_name_of_its_module(relative: str, name: str | None) -> None:
    assert module_name(Path(relative)) == name


def test_the_standard_library_is_a_collection() -> None:
    found = names(*roots_of("stdlib"))

    assert {"json", "json.decoder", "asyncio.taskgroups"} <= set(found)
    assert not any(name.startswith(("test.", "pytest", "pydantic")) for name in found)


def test_what_is_installed_is_a_collection() -> None:
    found = names(*roots_of("site-packages"))

    assert {"pydantic", "pytest"} <= set(found)
    assert "json.decoder" not in found


def test_a_folder_is_a_collection(tmp_path: Path) -> None:
    assert roots_of(str(tmp_path)) == (tmp_path,)


@pytest.mark.parametrize("collection", ["stdlibs", "/no/such/folder", __file__])
def test_anything_else_is_refused_by_name(collection: str) -> None:
    with pytest.raises(ValueError, match="is neither stdlib nor site-packages") as refused:
        roots_of(collection)

    assert repr(collection) in str(refused.value)
