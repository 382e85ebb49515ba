"""Settings: read once, and what cannot be read names its variable."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mqjobs.app.settings import Settings, read_settings
from mqjobs.model.errors import ConfigurationError

DURATIONS = [
    name
    for name, field in Settings.model_fields.items()
    if field.annotation in {timedelta, timedelta | None}
]
INTERVALS = [
    name
    for name in DURATIONS
    if name.endswith("interval") or name in {"dead_after", "resend_after", "time_limit"}
]
NUMBERS = [
    name
    for name, field in Settings.model_fields.items()
    if field.annotation in {int, int | None}
    and name not in {"memory_limit", "statement_cache_size"}
]


def read(variable: str, value: str) -> Any:
    """What a variable's value comes to."""
    name = variable.removeprefix("MQJOBS_").lower()
    return getattr(read_settings({variable: value}), name)


def test_without_variables_every_setting_has_its_default() -> None:
    settings = read_settings({})

    assert settings.model_dump() == Settings.model_construct().model_dump()
    assert settings.model_fields_set == set()


@pytest.mark.parametrize(
    ("variable", "value", "read_as"),
    [
        ("MQJOBS_APP", "shop:app", "shop:app"),
        ("MQJOBS_DATABASE_URL", "postgresql://db/jobs", "postgresql://db/jobs"),
        ("MQJOBS_DATA_DIR", "/var/jobs", Path("/var/jobs")),
        ("MQJOBS_QUEUE_TYPE", "quorum", "quorum"),
        ("MQJOBS_CONCURRENCY", "7", 7),
        ("MQJOBS_GRACE", "1.5", timedelta(seconds=1.5)),
        ("MQJOBS_GRACE", "0", timedelta(0)),
        ("MQJOBS_QUEUES", "mail", ("mail",)),
        ("MQJOBS_QUEUES", "mail, import,", ("mail", "import")),
        ("MQJOBS_QUEUES", '["mail", "import"]', ("mail", "import")),
        ("MQJOBS_TIME_BEFORE_STALE", '{"a": 60, "b.c": -1}', {"a": 60, "b.c": -1}),
        ("MQJOBS_LOG_LEVEL", "debug", "debug"),
        ("MQJOBS_MEMORY_LIMIT", "1048576", 1048576),
        ("MQJOBS_MEMORY_LIMIT", "512MB", 512 * 1024**2),
        ("MQJOBS_MEMORY_LIMIT", "2gb", 2 * 1024**3),
        ("MQJOBS_CONCURRENCY", "", 20),
    ],
)
def test_a_variable_is_read_as_what_it_means(variable: str, value: str, read_as: Any) -> None:
    assert read(variable, value) == read_as


def test_what_is_given_comes_before_the_variables() -> None:
    settings = read_settings({"MQJOBS_GRACE": "5", "MQJOBS_CONCURRENCY": "6"}, grace=7)

    assert (settings.grace, settings.concurrency) == (timedelta(seconds=7), 6)


def test_the_environment_of_the_process_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQJOBS_CONCURRENCY", "3")

    assert read_settings().concurrency == 3
    assert read_settings({}).concurrency == 20


def test_twice_the_concurrency_is_prefetched_unless_it_is_said() -> None:
    assert Settings(concurrency=7).prefetched == 14
    assert Settings(concurrency=7, prefetch=3).prefetched == 3


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("soon", "give a number of seconds"),
        ("nan", "give a number of seconds"),
        ("inf", "give a number of seconds"),
        ("1e300", "give a number of seconds"),
        ("-1", "give 0 s to 10 years"),
        ("1e9", "give 0 s to 10 years"),
    ],
)
def test_a_duration_that_is_none_names_its_variable(name: str, value: str, says: str) -> None:
    variable = f"MQJOBS_{name.upper()}"

    with pytest.raises(ConfigurationError, match=f"^{variable}: {says}$"):
        read(variable, value)


@pytest.mark.parametrize("name", INTERVALS)
def test_nothing_is_done_without_a_pause(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MQJOBS_{name.upper()}: give more than 0 s"):
        read(f"MQJOBS_{name.upper()}", "0")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["many", "1.5", "-1", "0"])
def test_a_number_that_is_none_or_too_small_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^MQJOBS_{name.upper()}: Input should be"):
        read(f"MQJOBS_{name.upper()}", value)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("MQJOBS_LOG_LEVEL", "loud", "Input should be 'debug', 'info', 'warning' or 'error'"),
        ("MQJOBS_LOG_FORMAT", "xml", "Input should be 'auto', 'console' or 'json'"),
        ("MQJOBS_MEMORY_LIMIT", "much", "give a number of bytes, or one with KB, MB or GB"),
        ("MQJOBS_MEMORY_LIMIT", "1.5GB", "give a number of bytes, or one with KB, MB or GB"),
        ("MQJOBS_MEMORY_LIMIT", "0", "Input should be greater than or equal to 1"),
        ("MQJOBS_QUEUE_TYPE", "fast", "Input should be 'auto', 'classic' or 'quorum'"),
        ("MQJOBS_QUEUES", '["mail"', "give JSON: "),
        ("MQJOBS_QUEUES", "[1]", "0: Input should be a valid string"),
        ("MQJOBS_TIME_BEFORE_STALE", "60", "Input should be a valid dictionary"),
        ("MQJOBS_TIME_BEFORE_STALE", "{60}", "give JSON: "),
        ("MQJOBS_TIME_BEFORE_STALE", '{"a.b": "long"}', "a.b: Input should be a valid number"),
        ("MQJOBS_TIME_BEFORE_STALE", '{"a.b": -7}', "a.b: give 0 s to 10 years, or -1 for never"),
        ("MQJOBS_TIME_BEFORE_STALE", '{"a": NaN}', "a: give 0 s to 10 years, or -1 for never"),
    ],
)
def test_a_value_that_cannot_be_read_names_its_variable(
    variable: str, value: str, says: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(variable, value)

    assert str(refused.value).startswith(f"{variable}: {says}")


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"^MQJOBS_POOL_SIZE: .*; MQJOBS_GRACE: "):
        read_settings({"MQJOBS_GRACE": "x", "MQJOBS_POOL_SIZE": "1"})


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("MQJOBS_CONCURENCY", r"is not a setting; did you mean MQJOBS_CONCURRENCY\?"),
        ("MQJOBS_DATABASE", r"is not a setting; did you mean MQJOBS_DATABASE_URL\?"),
        ("MQJOBS_GRACE_", r"is not a setting; did you mean MQJOBS_GRACE\?"),
        (
            "MQJOBS_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "is not a setting; see the list in docs/configuration.md",
        ),
    ],
)
def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_that_is(
    variable: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{variable} {says}"):
        read_settings({variable: "1", "MQJOBS_GRACE": "5"})


def test_variables_of_others_of_flags_and_of_the_tests_are_none_of_its_business() -> None:
    read_settings({"MQJOBS_TEST_AMQP_URL": "amqp://x", "MQJOB": "1", "HOME": "/"})
    read_settings({"MQJOBS_FLAG_JOBS_LIST_LIMIT": "5", "MQJOBS_FLAG_DEAD_DROP_YES": "1"})


def test_a_secret_is_not_shown() -> None:
    settings = Settings(
        database_url="postgresql://ann:secret@db/jobs", broker_url="amqp://ann:secret@mq/"
    )

    assert "secret" not in repr(settings)
    assert "secret" not in str(settings)


@pytest.mark.parametrize("name", ["database_url", "broker_url"])
def test_a_secret_is_not_shown_where_another_value_is_wrong(name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_settings({f"MQJOBS_{name.upper()}": "x://ann:secret@db/", "MQJOBS_CONCURRENCY": "0"})

    assert "secret" not in str(refused.value)


def test_a_url_may_have_spaces_around_it_as_files_and_pastes_have() -> None:
    settings = read_settings(
        {"MQJOBS_BROKER_URL": " amqp://mq/", "MQJOBS_DATABASE_URL": "postgresql://db/jobs\n"}
    )

    assert (settings.broker_url, settings.database_url) == ("amqp://mq/", "postgresql://db/jobs")
