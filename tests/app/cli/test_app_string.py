from pathlib import Path

import pytest

from tests.support.shell import Shell


async def lines(shell: Shell, named: str) -> list[str]:
    """What a command says that needs the app, and that it says it with the exit code for it."""
    ran = await shell("topics", MQJOBS_APP=named)
    assert (ran.code, ran.out) == (2, "")
    return ran.err.rstrip().splitlines()


@pytest.mark.parametrize(
    ("named", "what", "remedy"),
    [
        ("shop", "the app 'shop' is not of the form module:attribute", "give --app"),
        ("shop:", "the app 'shop:' is not of the form module:attribute", "give --app"),
        ("shpo:app", "there is no module 'shpo' in ", "did you mean shop?"),
        ("shop.there:app", "there is no module 'shop.there'", "did you mean shop?"),
        ("shop:ap", "the app 'shop:ap' is not there: shop has no 'ap'", "did you mean app?"),
        ("shop:app.b", "the app 'shop:app.b' is not there: App has no 'b'", "name the attribute"),
        (
            "shop:Price",
            "shop:Price is of type ModelMetaclass, not an App",
            "did you mean shop:app?",
        ),
    ],
)
async def test_a_wrong_app_string_is_two_lines(
    shell: Shell, named: str, what: str, remedy: str
) -> None:
    first, second = await lines(shell, named)
    assert first.startswith(f"Error: {what}")
    assert second.startswith(remedy)


async def test_a_module_that_raises_shows_its_own_traceback(shell: Shell) -> None:
    (shell.folder / "broken.py").write_text(
        "def settle():\n    raise ValueError('no rate')\n\nsettle()\n"
    )

    said = await lines(shell, "broken:app")

    assert said[0] == "Error: module 'broken' cannot be imported, it raises ValueError"
    assert said[-1] == "ValueError: no rate"
    assert [line for line in said if line.lstrip().startswith("File")] == [
        f'  File "{shell.folder}/broken.py", line {number}, in {name}'
        for number, name in ((4, "<module>"), (2, "settle"))
    ]


async def test_a_module_that_breaks_a_rule_of_ours_shows_the_rule_and_its_line(
    shell: Shell,
) -> None:
    (shell.folder / "broken.py").write_text(
        "from mqjobs import Topic\n\nclass Order(Topic, name='a b'):\n    number: int\n"
    )

    what, remedy = await lines(shell, "broken:app")

    assert what.startswith("Error: Order: 'a b' cannot name a topic; use 1 to 200 letters")
    assert remedy == f"mend module 'broken', at line 3 of {shell.folder}/broken.py"


async def test_a_module_that_misses_another_is_not_said_to_be_missing(shell: Shell) -> None:
    (shell.folder / "broken.py").write_text("import nobody_has_this\n")
    said = await lines(shell, "broken:app")
    assert said[0] == "Error: module 'broken' cannot be imported, it raises ModuleNotFoundError"
    assert said[-1] == "ModuleNotFoundError: No module named 'nobody_has_this'"


async def test_the_app_may_be_an_attribute_of_an_attribute(shell: Shell) -> None:
    (shell.folder / "house.py").write_text("import shop\n\nclass Rooms:\n    first = shop\n")
    ran = await shell("topics", "--app", "house:Rooms.first.app")
    assert ran.code == 0


async def test_the_projects_file_names_the_app_for_the_folders_below_it(shell: Shell) -> None:
    (shell.folder / "pyproject.toml").write_text('[tool.mqjobs]\napp = "shop:app"\n')
    below = shell.folder / "some" / "folder"
    below.mkdir(parents=True)

    assert (await Shell(below, shell.variables)("topics", MQJOBS_APP="")).code == 0


async def test_a_flag_comes_before_the_variable_and_that_before_the_projects_file(
    shell: Shell,
) -> None:
    (shell.folder / "pyproject.toml").write_text('[tool.mqjobs]\napp = "wrong:app"\n')
    assert (await shell("topics")).code == 0
    assert (await shell("topics", "--app", "shop:app", MQJOBS_APP="wrong:app")).code == 0


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[tool.mqjobs", "cannot be read"),
        ("[tool.mqjobs]\napp = 3\n", "app under [tool.mqjobs] is 3"),
    ],
)
async def test_a_projects_file_that_cannot_be_read_is_an_error(
    shell: Shell, text: str, what: str
) -> None:
    file = shell.folder / "pyproject.toml"
    file.write_text(text)
    said = await lines(shell, "")
    assert str(file) in said[0]
    assert what in said[0]


async def test_no_app_is_an_error_only_where_one_is_needed(shell: Shell, tmp_path: Path) -> None:
    first, second = await lines(shell, "")
    assert first == "Error: no app is named"
    assert second.startswith("give --app")
    assert (await shell("jobs", "list", MQJOBS_APP="")).code == 0
