"""mqjobs jobs: what operators see of jobs."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import click

from mqjobs.app.cli.flags import LARGEST_ID, an_id, as_json, flag, limit
from mqjobs.app.cli.job_texts import (
    OPEN,
    Branch,
    children_listing,
    dependents_listing,
    ended_counts,
    job_facts,
    job_tree,
    roots_listing,
)
from mqjobs.app.cli.jobs_steering import clean_up, interrupt_job, retry_job
from mqjobs.app.cli.office import Office, in_office
from mqjobs.app.cli.output import quiet, show, show_json
from mqjobs.app.cli.setup import DATABASE, Setup, with_setup
from mqjobs.model.errors import NotARootJob
from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.store.job_reports import DependentMessage

COUNTED = 10_000
DEPENDENTS_SHOWN = 100
STATUS = click.Choice([status.value for status in JobStatus])


@click.group()
def jobs() -> None:
    """See, interrupt, retry and clean up jobs."""


@jobs.command("list")
@flag(
    "--status", "statuses", type=STATUS, multiple=True, help="Only of this status; may be repeated."
)
@flag("--name", default="", metavar="TEXT", help="Only those with this text in their names.")
@flag("--stale", "only_stale", is_flag=True, help="Only those that look stale.")
@flag("--before", type=an_id, metavar="ID", help="Only those with a lower id: the next page.")
@limit(20)
@as_json
@with_setup(*DATABASE)
def list_jobs(  # noqa: PLR0913  the flags of one listing
    setup: Setup,
    statuses: Sequence[str],
    name: str,
    only_stale: bool,
    before: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List root jobs, the newest first."""
    wanted = [JobStatus(status) for status in statuses]
    found = in_office(
        setup.settings,
        lambda office: office.jobs.roots(
            statuses=wanted, name=name, only_stale=only_stale, before=before, limit=limit
        ),
    )
    if as_json:
        show_json(found)
    elif not found:
        show(quiet("no root jobs"))
    else:
        show(roots_listing(found, datetime.now(UTC)))
        if len(found) == limit:
            show(quiet(f"there may be more: --before {found[-1].id}"))


@jobs.command("show")
@click.argument("job_id", type=an_id)
@as_json
@with_setup(*DATABASE)
def show_job(setup: Setup, job_id: int, as_json: bool) -> None:
    """Show all that is known of a job."""

    async def read(office: Office) -> tuple[Job, Sequence[DependentMessage]]:
        job = await office.jobs.get(job_id)
        if not job.is_root:
            return job, ()
        return job, await office.jobs.dependents(job_id, limit=DEPENDENTS_SHOWN)

    job, waiting = in_office(setup.settings, read)
    dependents = [replace(one, envelope=setup.shown(one.envelope)) for one in waiting]
    now = datetime.now(UTC)
    if as_json:
        show_json({"job": job, "dependents": dependents})
        return
    show(job_facts(job, now))
    if dependents:
        show("", dependents_listing(dependents, now))


@jobs.command("children")
@click.argument("root_id", type=an_id)
@flag("--status", type=STATUS, help="Only of this status.")
@flag(
    "--after",
    type=click.IntRange(0, LARGEST_ID),
    default=0,
    metavar="ID",
    help="Only those with a higher id: the next page.",
)
@limit(50)
@as_json
@with_setup(*DATABASE)
def list_children(
    setup: Setup, root_id: int, status: str | None, after: int, limit: int, as_json: bool
) -> None:
    """List the children of a root job, the oldest first."""
    wanted = None if status is None else JobStatus(status)
    found = in_office(
        setup.settings,
        lambda office: office.jobs.children(root_id, status=wanted, after=after, limit=limit),
    )
    if as_json:
        show_json(found)
    elif not found:
        show(quiet("no such children"))
    else:
        show(children_listing(found, datetime.now(UTC)))
        if len(found) == limit:
            show(quiet(f"there may be more: --after {found[-1].id}"))


@jobs.command("tree")
@click.argument("root_id", type=an_id)
@flag(
    "--each",
    metavar="N",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="Children of each status at most.",
)
@as_json
@with_setup(*DATABASE)
def show_tree(setup: Setup, root_id: int, each: int, as_json: bool) -> None:
    """Show a root job and its children by status."""

    async def read(office: Office) -> tuple[Job, list[Branch]]:
        root = await office.jobs.get(root_id)
        if not root.is_root:
            raise NotARootJob(f"job {root_id} is a child: mqjobs jobs tree {root.root_id}")
        return root, await _branches(office, root, each)

    root, branches = in_office(setup.settings, read)
    if as_json:
        show_json({"root": root, "children": branches})
    else:
        show(job_tree(root, branches, datetime.now(UTC)))


async def _branches(office: Office, root: Job, each: int) -> list[Branch]:
    """What there is, the open ones first; those are counted up to a limit."""
    opened = await office.jobs.open_counts(root.id, at_most=COUNTED)
    counts = {status: opened[status] for status in OPEN} | dict(ended_counts(root))
    branches = []
    for status, count in counts.items():
        if count:
            children = (
                await office.jobs.children(root.id, status=status, limit=each) if each else ()
            )
            is_capped = status in OPEN and count >= COUNTED
            branches.append(Branch(status, count, is_capped, children))
    return branches


for command in (interrupt_job, retry_job, clean_up):
    jobs.add_command(command)
