"""Secrets in bodies: they travel as they are, and are shown to nobody."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, TypeAlias

from pydantic import PlainSerializer, SecretStr
from pydantic.errors import PydanticInvalidForJsonSchema

from mqjobs.model.message import Envelope
from mqjobs.model.topic import Topic

MARK = "mqjobs-secret"
MASK = "**********"
EACH = "*"

Path: TypeAlias = tuple[str, ...]

Secret = Annotated[
    SecretStr,
    PlainSerializer(SecretStr.get_secret_value, return_type=str, when_used="json"),
]
"""A field of a body that is text and secret: `token: Secret`, read with `body.token.get_secret_value()`."""


@cache
def secret_paths(topic: type[Topic]) -> frozenset[Path]:
    """Where in a body of this topic secrets stand, by the names in its JSON; `*` is any index or key.

    Where a model with secrets contains itself, all that is within is secret.
    """
    try:
        schema = topic.model_json_schema()
    except PydanticInvalidForJsonSchema:
        return frozenset()
    found = list(_found(schema, schema.get("$defs", {}), (), ()))
    return frozenset(path for path, _ in found) if any(known for _, known in found) else frozenset()


def is_secret(topic: type[Topic], place: Sequence[str | int]) -> bool:
    """Whether what stands there in a body of this topic is a secret, or a part of one."""
    steps = [str(step) for step in place]
    return any(
        len(path) <= len(steps)
        and all(step in {EACH, there} for step, there in zip(path, steps, strict=False))
        for path in secret_paths(topic)
    )


def _found(
    schema: Mapping[str, Any], models: Mapping[str, Any], within: tuple[str, ...], at: Path
) -> Iterator[tuple[Path, bool]]:
    """Secrets, and where a model contains itself (False)."""
    if schema.get("writeOnly"):
        yield at, True
        return
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        if name in within:
            yield at, False
            return
        yield from _found(models[name], models, (*within, name), at)
    for steps, below in _parts(schema):
        yield from _found(below, models, within, (*at, *steps))


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for name, below in schema.get("properties", {}).items():
        yield (name,), below
    for word in ("items", "additionalProperties"):
        if isinstance(below := schema.get(word), Mapping):
            yield (EACH,), below
    for below in schema.get("prefixItems", ()):
        yield (EACH,), below
    for word in ("anyOf", "allOf", "oneOf"):
        for below in schema.get(word, ()):
            yield (), below


def mark_of(topic: type[Topic]) -> Mapping[str, str]:
    """The header that tells whoever shows a message of this topic what not to show; none where all may be shown."""
    paths = secret_paths(topic)
    return {MARK: json.dumps(sorted(paths))} if paths else {}


def without_secrets(envelope: Envelope, topic: type[Topic] | None = None) -> Envelope:
    """The message as it may be shown: what it is marked with, or the class of its topic says, is masked.

    A body with secrets in it that is no JSON is masked as a whole.
    """
    paths = _marked(envelope.headers.get(MARK)) | (secret_paths(topic) if topic else frozenset())
    if not paths:
        return envelope
    try:
        body = json.loads(envelope.body)
    except ValueError:
        return replace(envelope, body=json.dumps(MASK).encode())
    for path in paths:
        body = _masked(body, path)
    return replace(envelope, body=json.dumps(body, ensure_ascii=False).encode())


def _marked(mark: str | None) -> frozenset[Path]:
    try:
        return frozenset(tuple(str(step) for step in path) for path in json.loads(mark or "[]"))
    except (ValueError, TypeError):
        return frozenset()  # a stranger's


def _masked(value: Any, path: Path) -> Any:
    if not path:
        return None if value is None else MASK
    step, *rest = path
    if isinstance(value, list) and step == EACH:
        return [_masked(each, tuple(rest)) for each in value]
    if isinstance(value, dict):
        return {
            key: _masked(each, tuple(rest)) if step in {EACH, key} else each
            for key, each in value.items()
        }
    return value
