"""A topic: a named kind of message, a class whose instances are the bodies."""

import inspect
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from mqjobs.model.errors import ConfigurationError
from mqjobs.model.priority import Priority
from mqjobs.model.retry import Retry

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")
DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True)
class TopicDefinition:
    """What a topic class says of its messages, besides their fields."""

    name: str
    description: str
    priority: Priority
    queue: str
    retry: Retry
    timeout: timedelta | None
    is_job_aware: bool


class Topic(BaseModel):
    """The base of every topic class.

    class IndexDoc(Topic, name="search.index_doc", priority=Priority.LOW, retry=Retry(attempts=3)):
        '''Index one document.'''
        path: str

    `name` is what consumers know the topic by. `queue` is where its messages wait unless the processor names
    another. `timeout` (a timedelta or seconds) bounds one attempt. A class without a name is abstract: a base
    for other topics, never sent. Unknown fields are refused; set `model_config` to change that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    __topic__: ClassVar[TopicDefinition]

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        priority: Priority = Priority.NORMAL,
        queue: str = DEFAULT_QUEUE,
        retry: Retry = Retry(),  # noqa: B008  a frozen value
        timeout: timedelta | float | None = None,
        **config: Any,
    ) -> None:
        """Keep what the class says of its messages; raises ConfigurationError where that breaks a rule."""
        super().__init_subclass__(**config)
        if name is None:
            return
        if not isinstance(retry, Retry):
            raise ConfigurationError(
                f"{cls.__qualname__}: retry {retry!r}: give a Retry, for example Retry(attempts=3)"
            )
        _check_name(cls.__qualname__, "topic", name)
        cls.__topic__ = TopicDefinition(
            name=name,
            description=inspect.cleandoc(cls.__doc__ or ""),
            priority=_checked_priority(cls.__qualname__, priority),
            queue=checked_queue(cls.__qualname__, queue),
            retry=retry,
            timeout=_checked_timeout(cls.__qualname__, timeout),
            is_job_aware=cls.job_name is not Topic.job_name,
        )

    def job_name(self) -> str | None:
        """The name of the unique root job that is born with this message.

        Overriding it makes the topic job-aware: while an active root has the name, sending this message is refused.
        """
        return None


def definition_of(topic: type[Topic]) -> TopicDefinition:
    """What the class says of its messages; a class without a name of its own is a ConfigurationError."""
    definition = topic.__dict__.get("__topic__")
    if not isinstance(definition, TopicDefinition):
        raise ConfigurationError(
            f'{topic.__qualname__} has no name: write class {topic.__name__}(Topic, name="…")'
        )
    return definition


def checked_queue(who: str, queue: str) -> str:
    """The name of a queue. Raises ConfigurationError for one that none can have."""
    return _check_name(who, "queue", queue)


def _check_name(who: str, word: str, name: str) -> str:
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{who}: {name!r:.250} cannot name a {word}; use 1 to 200 letters, digits "
            "and _ . : -, and begin with a letter, a digit or _"
        )
    return name


def _checked_priority(who: str, priority: Priority) -> Priority:
    try:
        return Priority(priority)
    except ValueError:
        raise ConfigurationError(f"{who}: priority {priority!r}: 0 to 4, see Priority") from None


def _checked_timeout(who: str, timeout: timedelta | float | None) -> timedelta | None:
    if timeout is None:
        return None
    try:
        duration = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)
    except (TypeError, ValueError, OverflowError):
        duration = timedelta(0)
    if duration <= timedelta(0):
        raise ConfigurationError(
            f"{who}: timeout {timeout!r}: give a timedelta or seconds, more than 0"
        )
    return duration
