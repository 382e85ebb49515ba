"""mqjobs topics, processors and consumers: what there is."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from mqjobs.app.cli.flags import as_json, flag
from mqjobs.app.cli.office import in_office
from mqjobs.app.cli.output import ago, lasted, listing, quiet, short, show, show_json
from mqjobs.app.cli.setup import APP, DATABASE, Setup, with_setup
from mqjobs.model.message import Binding
from mqjobs.model.topic import Topic, TopicDefinition, definition_of
from mqjobs.store.job_reports import ConsumerReport


@click.command()
@as_json
@with_setup(*APP)
def topics(setup: Setup, as_json: bool) -> None:
    """List the topics that the app knows."""
    app = setup.require_app()
    known = sorted(app.names, key=lambda topic: definition_of(topic).name)
    queues = _queues_by_topic(app.registry.bindings())
    if as_json:
        show_json([_topic_record(topic, queues) for topic in known])
        return
    if not known:
        show(quiet("the app knows no topics: app.subscribe(…) or app.sends(…)"))
        return
    show(
        listing(
            "topic queues priority attempts job description",
            [_topic_row(definition_of(topic), queues) for topic in known],
            numbers="attempts",
            long="description",
        )
    )


def _topic_row(
    definition: TopicDefinition, queues: Mapping[str, Sequence[str]]
) -> Sequence[RenderableType]:
    return (
        definition.name,
        ", ".join(queues[definition.name]) or quiet("no processor here"),
        definition.priority.name.lower(),
        str(definition.retry.attempts),
        "unique" if definition.is_job_aware else "",
        definition.description.partition("\n")[0],
    )


def _topic_record(topic: type[Topic], queues: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    definition = definition_of(topic)
    return {
        "name": definition.name,
        "description": definition.description,
        "queues": queues[definition.name],
        "priority": definition.priority.name.lower(),
        "retry": definition.retry,
        "timeout": definition.timeout,
        "is_job_aware": definition.is_job_aware,
        "body": topic.model_json_schema(),
    }


def _queues_by_topic(bound: Sequence[Binding]) -> defaultdict[str, list[str]]:
    queues: defaultdict[str, list[str]] = defaultdict(list)
    for binding in bound:
        queues[binding.topic].append(binding.queue)
    return queues


@click.command()
@as_json
@with_setup(*APP)
def processors(setup: Setup, as_json: bool) -> None:
    """List the app's processors with their topics and queues."""
    registry = setup.require_app().registry
    records = [
        {
            "queue": binding.queue,
            "topic": binding.topic,
            "processor": f"{type(processor).__module__}.{type(processor).__qualname__}",
        }
        for binding in registry.bindings()
        if (processor := registry.processor(binding.queue, binding.topic)) is not None
    ]
    if as_json:
        show_json(records)
        return
    if not records:
        show(quiet("the app has no processors: app.subscribe(MyProcessor())"))
        return
    rows = [list(record.values()) for record in records]
    show(listing("queue topic processor", rows, long="processor"))


@click.group()
def consumers() -> None:
    """See who consumes."""


@consumers.command("list")
@flag(
    "--each",
    metavar="N",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="Running jobs of each consumer at most.",
)
@as_json
@with_setup(*DATABASE)
def list_consumers(setup: Setup, each: int, as_json: bool) -> None:
    """List the consumers, and what each one runs."""
    found = in_office(setup.settings, lambda office: office.jobs.consumers(jobs_each=each))
    if as_json:
        show_json(found)
    elif not found:
        show(quiet("no consumers"))
    else:
        _show_consumers(found, datetime.now(UTC))


def _show_consumers(found: Sequence[ConsumerReport], now: datetime) -> None:
    rows = [
        (
            short(one.id),
            one.host,
            str(one.pid),
            "alive" if one.is_alive else Text("dead", style="red"),
            ago(one.started_at, now),
            ago(one.heartbeat_at, now),
            str(one.running),
            ", ".join(one.queues),
        )
        for one in found
    ]
    columns = "consumer host pid state started heartbeat running queues"
    show(listing(columns, rows, numbers="pid running", long="host queues"))
    runs = [row for one in found for row in _run_rows(one, now)]
    if runs:
        show("", listing("job name root for consumer", runs, numbers="job root", long="name"))


def _run_rows(consumer: ConsumerReport, now: datetime) -> Iterator[Sequence[str]]:
    for job in consumer.jobs:
        since = lasted(now - job.started_at) if job.started_at else "–"
        yield str(job.id), job.name, str(job.root_id), since, short(consumer.id)
    hidden = consumer.running - len(consumer.jobs)
    if hidden > 0:
        yield "…", f"{hidden:,} more", "", "", short(consumer.id)
