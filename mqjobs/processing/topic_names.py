"""Topic classes by the names that messages carry."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from inspect import isclass

from mqjobs.model.errors import ConfigurationError, UnknownTopic
from mqjobs.model.topic import Topic, definition_of


class TopicNames:
    """The topic classes that an app knows; one class for each name."""

    def __init__(self) -> None:
        self._topics: dict[str, type[Topic]] = {}

    def add(self, topic: object, *, named_by: str) -> type[Topic]:
        """Know this class. Raises ConfigurationError where it is none, has no name, or shares it with another class."""
        if not (isclass(topic) and issubclass(topic, Topic)):
            raise ConfigurationError(f"{named_by} names {topic!r}, which is not a Topic class")
        try:
            name = definition_of(topic).name
        except ConfigurationError as error:
            raise ConfigurationError(f"{named_by}: {error}") from None
        known = self._topics.setdefault(name, topic)
        if known is not topic:
            raise ConfigurationError(
                f"{named_by}: topic {name!r} is both {_path(known)} and {_path(topic)}; rename one of them"
            )
        return topic

    def __getitem__(self, name: str) -> type[Topic]:
        """The class of this name. Raises UnknownTopic, with the nearest name there is."""
        try:
            return self._topics[name]
        except KeyError:
            near = get_close_matches(name, self._topics, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {_listed(self._topics)}"
            raise UnknownTopic(f"there is no topic {name!r}; {hint}") from None

    def __contains__(self, name: str) -> bool:
        return name in self._topics

    def __iter__(self) -> Iterator[type[Topic]]:
        return iter(self._topics.values())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _path(topic: type[Topic]) -> str:
    return f"{topic.__module__}.{topic.__qualname__}"
