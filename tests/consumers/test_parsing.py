import email.message
import gc
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest

from consumers.modules import Module, find_modules, roots_of
from consumers.parsing import Document, Kind, UnreadableModule, read_documents, short_path


def documents(folder: Path, source: str | bytes) -> list[Document]:
    path = folder / "sample.py"
    path.write_bytes(source if isinstance(source, bytes) else dedent(source).encode())
    return read_documents(Module("sample", path))


def named(folder: Path, source: str) -> dict[str, Document]:
    return {document.name: document for document in documents(folder, source)}


def reason(folder: Path, source: str | bytes) -> str:
    with pytest.raises(UnreadableModule) as refused:
        documents(folder, source)
    return str(refused.value)


def test_a_module_a_class_a_method_and_a_function_are_documents(tmp_path: Path) -> None:
    source = '''\
        """About cats."""

        class Cat:
            """A small animal."""

            def purr(self, loudness: float = 0.5) -> None:
                """Make a sound."""

        def feed(cat, *food, **how):
            """Give the cat what it asks for."""
        '''

    assert documents(tmp_path, source) == [
        Document("", Kind.MODULE, "", "About cats.", 1),
        Document("Cat", Kind.CLASS, "class Cat", "A small animal.", 3),
        Document(
            "Cat.purr",
            Kind.METHOD,
            "def purr(self, loudness: float=0.5) -> None",
            "Make a sound.",
            6,
        ),
        Document(
            "feed",
            Kind.FUNCTION,
            "def feed(cat, *food, **how)",
            "Give the cat what it asks for.",
            9,
        ),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "def f()",
        "async def f()",
        "def f(a, /, b, *, c)",
        "def f(a: int=1, *args: str, b: 'B | None'=None, **options: object) -> list[int]",
        "class f",
        "class f(A, B[int], metaclass=M, flag=True)",
        *(["def f[T: int](a: T) -> T"] if sys.version_info >= (3, 12) else []),
    ],
)
def test_a_signature_is_the_header_without_decorators(tmp_path: Path, header: str) -> None:
    [document] = documents(tmp_path, f"@decorated\n@twice(1)\n{header}:\n    'Doc.'\n")

    assert document.signature == header


def test_a_header_over_several_lines_becomes_one(tmp_path: Path) -> None:
    [document] = documents(tmp_path, "def f(\n    a,  # first\n    b,\n):\n    'Doc.'\n")

    assert (document.signature, document.line) == ("def f(a, b)", 1)


def test_what_has_no_documentation_is_no_document(tmp_path: Path) -> None:
    source = '''
        class Cat:
            def purr(self):
                """Documented inside of a class that is not."""
            def hiss(self): ...
        def empty():
            """   """
        def number():
            42
        def formatted():
            f"no docstring {1}"
        def joined():
            b"bytes are none"
        '''

    assert list(named(tmp_path, source)) == ["Cat.purr"]


def test_classes_in_classes_have_qualified_names(tmp_path: Path) -> None:
    source = '''
        class A:
            class B:
                """Inner."""
                class C:
                    async def run(self):
                        """Innermost."""
        '''

    found = named(tmp_path, source)

    assert {name: document.kind for name, document in found.items()} == {
        "A.B": Kind.CLASS,
        "A.B.C.run": Kind.METHOD,
    }
    assert found["A.B.C.run"].signature == "async def run(self)"


def test_what_is_inside_of_a_function_is_its_own_affair(tmp_path: Path) -> None:
    source = '''
        def outer():
            """Outer."""
            def inner():
                """Inner."""
            class Local:
                """Local."""
        '''

    assert list(named(tmp_path, source)) == ["outer"]


def test_definitions_under_conditions_count(tmp_path: Path) -> None:
    source = '''
        if fast:
            def in_if():
                """1"""
        elif slow:
            def in_elif():
                """2"""
        else:
            class InElse:
                if True:
                    def method(self):
                        """3"""
        try:
            def in_try():
                """4"""
        except ImportError:
            def in_except():
                """5"""
        finally:
            def in_finally():
                """6"""
        with suppress(Exception):
            def in_with():
                """7"""
        for name in names:
            def in_for():
                """8"""
        while True:
            def in_while():
                """9"""
        match platform:
            case "x":
                def in_case():
                    """10"""
        '''

    found = named(tmp_path, source)

    assert [document.docstring for document in found.values()] == [str(n) for n in range(1, 11)]
    assert found["InElse.method"].kind is Kind.METHOD
    assert found["in_case"].kind is Kind.FUNCTION


def test_a_thousand_branches_are_no_problem(tmp_path: Path) -> None:
    branches = "".join(f"elif x == {n}:\n    pass\n" for n in range(150))
    chain = f"if x:\n    pass\n{branches}else:\n    def last():\n        'Found.'\n"

    assert [document.name for document in documents(tmp_path, chain * 5)] == ["last"]


def test_of_one_name_the_first_docstring_stands(tmp_path: Path) -> None:
    source = '''
        class Cat:
            @property
            def name(self):
                """What it is called."""
            @name.setter
            def name(self, value):
                """Call it otherwise."""
        if windows:
            def purr():
                """On Windows."""
        else:
            def purr():
                """Elsewhere."""
        '''

    found = documents(tmp_path, source)

    assert [(document.name, document.docstring) for document in found] == [
        ("Cat.name", "What it is called."),
        ("purr", "On Windows."),
    ]


def test_an_overloaded_function_is_the_one_that_is_documented(tmp_path: Path) -> None:
    source = '''
        @overload
        def get(key: int) -> int: ...
        @overload
        def get(key: str) -> str: ...
        def get(key):
            """Whatever has the key."""
        '''

    [document] = documents(tmp_path, source)

    assert (document.signature, document.line) == ("def get(key)", 6)


def test_a_docstring_loses_its_indentation_alone(tmp_path: Path) -> None:
    source = '''
        def f():
            """First line.

                indented
            and not
            """
        '''

    [document] = documents(tmp_path, source)

    assert document.docstring == "First line.\n\n    indented\nand not"


def test_a_nul_and_half_a_character_in_a_docstring_come_as_they_are(tmp_path: Path) -> None:
    [document] = documents(tmp_path, r'"""a\0b\ud800c"""')

    assert document.docstring == "a\0b\ud800c"


@pytest.mark.parametrize("source", ["", "\n\n", "# only a comment\n", "x = 1\n", b"\xef\xbb\xbf"])
def test_a_module_may_have_nothing_to_say(tmp_path: Path, source: str | bytes) -> None:
    assert documents(tmp_path, source) == []


@pytest.mark.parametrize(
    "source",
    [
        '"""größe"""'.encode(),
        '"""größe"""'.encode("utf-8-sig"),
        '# -*- coding: latin-1 -*-\n"""größe"""'.encode("latin-1"),
        '#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n"""größe"""'.encode("cp1252"),
        '# coding: utf-8\r\n"""größe"""\r\n'.encode(),
        '# coding: utf-8\r"""größe"""\r'.encode(),
    ],
)
def test_a_source_is_read_in_the_encoding_that_it_names(tmp_path: Path, source: bytes) -> None:
    [document] = documents(tmp_path, source)

    assert document.docstring == "größe"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\ndef f(:\n", "sample.py:2: invalid syntax"),
        ("print 'hello'\n", "sample.py:1: Missing parentheses in call to 'print'"),
        ("def f():\n    x\n  y\n", "sample.py:3: unindent does not match"),
        ('"""never closed\n', "sample.py:1: unterminated triple-quoted string literal"),
        (b"x = 1\n\ny = '\xe9'\n", "sample.py:3: (unicode error) 'utf-8' codec can't decode"),
        (b"# coding: uft-8\n", "sample.py: unknown encoding: uft-8"),
        (b"# coding: rot13\n", "sample.py: 'rot13' is not a text encoding"),
        (b"\xef\xbb\xbf# coding: latin-1\n", "sample.py: encoding problem: "),
        (b'"""x"""\n\0\n', "sample.py: source code string cannot contain null bytes"),
        ('"""x"""'.encode("utf-16"), "sample.py: source code string cannot contain null bytes"),
    ],
)
def test_a_module_that_cannot_be_parsed_says_where_and_why(
    tmp_path: Path, source: str | bytes, expected: str
) -> None:
    assert reason(tmp_path, source).startswith(expected)


@pytest.mark.parametrize("source", ["-" * 100_000 + "1", "+".join(["1"] * 100_000), "(" * 1_000])
def test_a_source_that_is_too_much_for_the_parser_says_so(tmp_path: Path, source: str) -> None:
    assert re.fullmatch(
        r"sample\.py(:1)?: .*(too deeply|too many|too complex).*", reason(tmp_path, source)
    )


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.py"):
        read_documents(Module("gone", tmp_path / "gone.py"))


@pytest.mark.parametrize(
    ("name", "path", "short"),
    [
        ("json.decoder", "/lib/json/decoder.py", "json/decoder.py"),
        ("json", "/lib/json/__init__.py", "json/__init__.py"),
        ("ast", "/lib/ast.py", "ast.py"),
    ],
)
def test_a_reason_names_the_file_as_an_import_would_see_it(
    name: str, path: str, short: str
) -> None:
    assert short_path(Module(name, Path(path))) == Path(short)


def test_other_peoples_warnings_are_not_heard(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text('"""Doc."""\npattern = "\\d"\nx = 1 is 1\n')
    program = (
        "import pathlib, sys; from consumers.parsing import Module, read_documents;"
        "print(len(read_documents(Module('sample', pathlib.Path(sys.argv[1])))))"
    )

    ran = subprocess.run(
        [sys.executable, "-W", "default", "-c", program, str(tmp_path / "sample.py")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert (ran.stdout, ran.stderr) == ("1\n", "")


@pytest.mark.filterwarnings("ignore")
def test_the_standard_library_can_be_read() -> None:
    modules = [
        module for module in find_modules(roots_of("stdlib")) if "lib2to3" not in module.name
    ]

    found = [document for module in modules[::10] for document in read_documents(module)]

    assert len(found) > 200
    assert all(document.docstring.strip() and document.line > 0 for document in found)


def test_modules_may_be_read_by_many_threads_at_once() -> None:
    def let_others_run(phase: str, info: dict[str, int]) -> None:
        time.sleep(0)

    module = Module("email.message", Path(email.message.__file__))
    expected = read_documents(module)
    threshold = gc.get_threshold()
    gc.callbacks.append(let_others_run)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(read_documents, [module] * 40))
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(let_others_run)

    assert found == [expected] * 40
