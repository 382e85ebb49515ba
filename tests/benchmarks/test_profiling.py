import pytest

from benchmarks.profiling import (
    ROOT,
    Function,
    Stats,
    group_of,
    module_of,
    seconds_by,
)

SITE = "/venv/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("function", "group"),
    [
        ((f"{ROOT}/mqjobs/store/claims.py", 3, "claim"), "mqjobs"),
        ((f"{ROOT}/benchmarks/work.py", 3, "process"), "benchmarks"),
        ((f"{SITE}/aiormq/channel.py", 3, "rpc"), "RabbitMQ driver"),
        ((f"{SITE}/asyncpg/pool.py", 3, "acquire"), "PostgreSQL driver"),
        ((f"{SITE}/pydantic/main.py", 3, "model_validate"), "pydantic"),
        (("/usr/lib/python3.11/asyncio/events.py", 3, "_run"), "asyncio"),
        (("/usr/lib/python3.11/json/decoder.py", 3, "decode"), "other"),
        (("~", 0, "<method 'poll' of 'select.epoll' objects>"), "waiting"),
        (
            ("~", 0, "<method 'validate_json' of 'pydantic_core.SchemaValidator' objects>"),
            "pydantic",
        ),
        (("~", 0, "<built-in method builtins.len>"), None),
    ],
)
def test_a_function_belongs_to_who_wrote_it(function: Function, group: str | None) -> None:
    assert group_of(function) == group


def test_what_is_built_in_counts_for_those_who_call_it() -> None:
    ours: Function = (f"{ROOT}/mqjobs/store/claims.py", 3, "claim")
    theirs: Function = (f"{SITE}/asyncpg/pool.py", 3, "acquire")
    length: Function = ("~", 0, "<built-in method builtins.len>")
    stats: Stats = {
        ours: (1, 1, 2.0, 5.0, {}),
        theirs: (1, 1, 1.0, 2.0, {}),
        length: (9, 9, 4.0, 4.0, {ours: (6, 6, 3.0, 3.0), theirs: (3, 3, 1.0, 1.0)}),
    }

    assert seconds_by(group_of, stats) == {"mqjobs": 5.0, "PostgreSQL driver": 2.0}
    assert seconds_by(module_of, stats) == {
        "mqjobs/store/claims.py": 5.0,
        "site-packages/asyncpg/pool.py": 2.0,
    }
