"""Every setting, read once from MQJOBS_* variables and from nowhere else."""

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mqjobs.model.errors import ConfigurationError
from mqjobs.model.status import JobStatus
from mqjobs.processing.jobs import KEPT_FOR

PREFIX = "MQJOBS_"
OF_FLAGS = "MQJOBS_FLAG"
NOT_SETTINGS = ("MQJOBS_TEST_", f"{OF_FLAGS}_")


UNREAD = "MQJOBS_UNREAD_"
LONGEST = timedelta(days=3650)


def _from_seconds(value: object) -> object:
    if not isinstance(value, str | int | float):
        return value
    try:
        duration = timedelta(seconds=float(value))
    except (ValueError, OverflowError):
        raise ValueError("give a number of seconds") from None
    if not timedelta(0) <= duration <= LONGEST:
        raise ValueError("give 0 s to 10 years")
    return duration


def _more_than_nothing(value: timedelta | None) -> timedelta | None:
    if value is not None and value <= timedelta(0):
        raise ValueError("give more than 0 s")
    return value


def _from_size(value: object) -> object:
    """Bytes, or so many KB, MB or GB."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+)\s*([KMG]?)B?", value.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError("give a number of bytes, or one with KB, MB or GB")
    return int(found[1]) * 1024 ** " KMG".index(found[2].upper() or " ")


def _names(value: object) -> object:
    """Names may be a JSON list, or have commas between them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value)
    return [name.strip() for name in value.split(",") if name.strip()]


def _json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"give JSON: {error}") from None


def _silences(value: dict[str, float]) -> dict[str, float]:
    for name, seconds in value.items():
        if not -1 <= seconds <= LONGEST.total_seconds():
            raise ValueError(f"{name}: give 0 s to 10 years, or -1 for never")
    return value


Seconds = Annotated[
    timedelta,
    BeforeValidator(_from_seconds),
    PlainSerializer(lambda value: value.total_seconds()),
    Field(ge=timedelta(0)),
]
Interval = Annotated[Seconds, AfterValidator(_more_than_nothing)]
Lifetime = Annotated[
    timedelta | None,
    BeforeValidator(_from_seconds),
    PlainSerializer(lambda value: value and value.total_seconds()),
    AfterValidator(_more_than_nothing),
]
Url = Annotated[str, StringConstraints(strip_whitespace=True)]
Size = Annotated[int | None, BeforeValidator(_from_size)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
SilenceByName = Annotated[
    dict[str, float], NoDecode, BeforeValidator(_json), AfterValidator(_silences)
]


class Settings(BaseSettings):
    """The settings of an app. Durations are seconds in variables and timedeltas here."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    app: str | None = Field(None, description="The app to run, as module:attribute.")
    database_url: Url | None = Field(
        None,
        repr=False,
        description="PostgreSQL; unset: an embedded server with its data in MQJOBS_DATA_DIR.",
    )
    broker_url: Url | None = Field(
        None,
        repr=False,
        description="amqp:// or amqps://; unset or postgres: for queues in PostgreSQL.",
    )
    data_dir: Path = Field(
        Path(".mqjobs"), description="Where the embedded PostgreSQL keeps its data."
    )
    exchange: str = Field("mqjobs", description="RabbitMQ exchange that routes topics to queues.")
    queue_type: Literal["auto", "classic", "quorum"] = Field(
        "auto", description="RabbitMQ queues: auto is quorum from RabbitMQ 4.0 on, classic before."
    )
    connect_timeout: Seconds = Field(
        timedelta(seconds=30), description="How long to wait for a server at start."
    )
    pool_size: int = Field(
        10,
        ge=4,
        description="Most connections to PostgreSQL of one process, and as many for its processors.",
    )
    database_timeout: Interval = Field(
        timedelta(seconds=8),
        description="How long PostgreSQL may take for a transaction before another connection is tried.",
    )
    statement_cache_size: int = Field(
        100,
        ge=0,
        description="Statements that a connection keeps prepared; 0 behind PgBouncer's transaction mode.",
    )

    queues: Names = Field((), description="Queues to consume; none: every queue of the app.")
    concurrency: int = Field(
        20, ge=1, description="Most processors that run at once in one process."
    )
    prefetch: int | None = Field(
        None, ge=1, description="Most unacknowledged deliveries; unset: twice the concurrency."
    )
    grace: Seconds = Field(
        timedelta(seconds=25), description="How long running work may go on after the first signal."
    )
    stop_grace: Seconds = Field(
        timedelta(seconds=5),
        description="How long code that was stopped may clean up before its job goes on without it.",
    )
    hand_over_after: Interval = Field(
        timedelta(seconds=300),
        description="Work that lasts longer acknowledges its message, of which PostgreSQL then keeps a copy; shorter "
        "than the broker's acknowledgement timeout.",
    )
    processes: int = Field(
        1, ge=1, le=1000, description="Processes that consume; from 2 on under a parent."
    )
    message_limit: int | None = Field(
        None,
        ge=1,
        description="Deliveries that one process begins, after which it drains and ends.",
    )
    time_limit: Lifetime = Field(
        None, description="How long one process works, after which it drains and ends."
    )
    memory_limit: Size = Field(
        None,
        ge=1,
        description="Resident memory of one process, in bytes or such as 512MB, from which on it drains and ends.",
    )
    heartbeat_interval: Interval = Field(
        timedelta(seconds=3), description="How often a consumer says that it lives."
    )
    dead_after: Interval = Field(
        timedelta(seconds=12), description="How old a heartbeat may be before its consumer is dead."
    )
    watch_interval: Interval = Field(
        timedelta(seconds=0.5),
        description="How often interrupts of running jobs and pauses of queues are looked for.",
    )
    relay_interval: Interval = Field(
        timedelta(seconds=0.25), description="How often an idle relay looks into the outbox."
    )
    reap_interval: Interval = Field(
        timedelta(seconds=2), description="How often consumers look for jobs of dead consumers."
    )
    reconcile_interval: Interval = Field(
        timedelta(seconds=60), description="How often counters of quiet root jobs are checked."
    )
    resend_after: Interval = Field(
        timedelta(minutes=5),
        description="How long a job waits in a quiet root job for a message that nobody has, before it is sent again.",
    )
    keep_success: Seconds = Field(
        KEPT_FOR[JobStatus.SUCCESS],
        description="How long consumers keep root jobs that came to success; 0: for ever.",
    )
    keep_others: Seconds = Field(
        KEPT_FOR[JobStatus.FAILED],
        description="How long consumers keep root jobs that failed, were cancelled or became stale; 0: for ever.",
    )
    cleanup_interval: Interval = Field(
        timedelta(minutes=10),
        description="How often consumers look for root jobs kept long enough.",
    )
    crashes_allowed: int = Field(
        3, ge=1, description="A job under which so many consumers died has failed."
    )
    redelivery_delay: Seconds = Field(
        timedelta(seconds=10), description="The wait after REQUEUE and Redeliver() without a time."
    )

    max_message_bytes: int = Field(
        1_000_000, ge=100, description="Largest body, as JSON, that is sent or acted on."
    )
    time_before_stale: SilenceByName = Field(
        default_factory=dict,
        description="Seconds of silence after which a newer unique job takes a job's name, by name or prefix, "
        "as JSON; -1: never; key default for the others, which have 1800.",
    )

    health_port: int | None = Field(
        None, ge=1, le=65535, description="Port of /live, /ready and /metrics; unset: none."
    )
    health_host: str = Field(
        "127.0.0.1", description="Address at which /live, /ready and /metrics are answered."
    )
    loop: Literal["auto", "asyncio", "uvloop"] = Field(
        "auto", description="Event loop of the daemon: auto is uvloop where it is installed."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least urgent log lines to write."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto is console on a terminal, json elsewhere."
    )

    @property
    def kept_for(self) -> Mapping[JobStatus, timedelta]:
        """How long root jobs are kept after each end; those that are kept for ever are left out."""
        ages = {
            status: self.keep_success if status is JobStatus.SUCCESS else self.keep_others
            for status in KEPT_FOR
        }
        return {status: age for status, age in ages.items() if age}

    @property
    def prefetched(self) -> int:
        """The prefetch in force."""
        return self.prefetch or 2 * self.concurrency


def read_settings(environment: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """The settings in this environment, overridden by those given.

    Raises ConfigurationError for a MQJOBS_* variable that is no setting, with the nearest that is, and for a value
    that cannot be read.
    """
    known = {f"{PREFIX}{name.upper()}": name for name in Settings.model_fields}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable.startswith(NOT_SETTINGS):
            continue
        if variable not in known:
            near = get_close_matches(variable, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see the list in docs/configuration.md"
            raise ConfigurationError(f"{variable} is not a setting; {hint}")
    read = {
        name: environment[variable] for variable, name in known.items() if environment.get(variable)
    }
    try:
        return Settings(_env_prefix=UNREAD, **{**read, **overrides})
    except ValidationError as error:
        raise ConfigurationError(_faults(error)) from None


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False)
    return "; ".join(_fault(*fault["loc"], says=fault["msg"]) for fault in faults)


def _fault(field: int | str, *within: int | str, says: str) -> str:
    said = says.removeprefix("Value error, ")
    return ": ".join([f"{PREFIX}{field}".upper(), *(str(each) for each in within), said])
