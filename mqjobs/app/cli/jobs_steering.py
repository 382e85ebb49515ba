"""mqjobs jobs interrupt, retry and cleanup: what operators do to jobs."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import click

from mqjobs.app.cli.flags import an_id, flag, without_asking
from mqjobs.app.cli.job_texts import counts_of
from mqjobs.app.cli.office import in_office
from mqjobs.app.cli.output import confirm, listing, quiet, show
from mqjobs.app.cli.setup import DATABASE, Setup, with_setup
from mqjobs.app.settings import Settings
from mqjobs.model.interruption import Interruption
from mqjobs.model.job import Job
from mqjobs.model.status import JobStatus
from mqjobs.processing.jobs import KEPT_FOR
from mqjobs.store.cleanup import Ended

DAYS = click.FloatRange(0, 36_500)


@click.command("interrupt")
@click.argument("job_id", type=an_id)
@without_asking
@with_setup(*DATABASE)
def interrupt_job(setup: Setup, job_id: int, without_asking: bool) -> None:
    """Interrupt a job.

    What has not started never will. A child that runs is stopped, and so is a root job without delayed children.
    The running children of any other root job finish their work.
    """
    job = in_office(setup.settings, lambda office: office.jobs.get(job_id))
    if not job.status.is_terminal:
        confirm(f"Interrupt {_described(job)}?", without_asking=without_asking)
    match in_office(setup.settings, lambda office: office.jobs.interrupt(job_id)):
        case Interruption.CANCELLED:
            show(f"job {job_id} is cancelled")
        case Interruption.STOPPING:
            show(
                f"job {job_id} is interrupted, and will be cancelled when what runs of it has ended"
            )
        case Interruption.ENDED_BEFORE:
            show(f"job {job_id} had ended before: nothing has changed")


def _described(job: Job) -> str:
    if job.is_root:
        return f"root job {job.id} {job.name!r} ({job.status}, children {counts_of(job)})"
    return f"child job {job.id} {job.name!r} ({job.status})"


@click.command("retry")
@click.argument("job_id", type=an_id)
@with_setup(*DATABASE)
def retry_job(setup: Setup, job_id: int) -> None:
    """Retry a child, or all failed children of a root job.

    A child can be retried that failed or was cancelled, unless its root job is stale or the name is taken by now.
    """
    retried = in_office(setup.settings, lambda office: office.jobs.retry(job_id))
    show(f"{retried:,} {'job is' if retried == 1 else 'jobs are'} new again, and on the way")


@click.command("cleanup")
@flag(
    "--success-after",
    type=DAYS,
    metavar="DAYS",
    help="How long to keep root jobs that came to success; else as MQJOBS_KEEP_SUCCESS says.",
)
@flag(
    "--others-after",
    type=DAYS,
    metavar="DAYS",
    help="How long to keep those that failed, were cancelled or became stale; else as MQJOBS_KEEP_OTHERS says.",
)
@flag("--dry-run", is_flag=True, help="Count what would be removed, and remove nothing.")
@without_asking
@with_setup(*DATABASE)
def clean_up(
    setup: Setup,
    success_after: float | None,
    others_after: float | None,
    dry_run: bool,
    without_asking: bool,
) -> None:
    """Remove root jobs that ended long ago.

    With them go their children and their dependent messages. Consumers do it by themselves; dead letters stay.
    """
    kept_for = _kept_for(setup.settings, success_after, others_after)
    ended = in_office(setup.settings, lambda office: office.jobs.cleanable(kept_for))
    if dry_run:
        _show_counts(ended)
        return
    roots = sum(one.roots for one in ended)
    children = sum(one.children for one in ended)
    if roots:
        question = f"Remove {roots:,} root jobs with {children:,} children?"
        confirm(question, without_asking=without_asking)
    removed = in_office(setup.settings, lambda office: office.jobs.cleanup(kept_for))
    show(
        f"removed {removed.roots:,} root jobs, {removed.children:,} children, "
        f"{removed.dependents:,} dependent messages"
    )


def _kept_for(
    settings: Settings, success_after: float | None, others_after: float | None
) -> Mapping[JobStatus, timedelta]:
    """As the flags say, else as the settings do; what these keep for ever is left out."""
    given = {
        status: success_after if status is JobStatus.SUCCESS else others_after
        for status in KEPT_FOR
    }
    days = {status: timedelta(days=value) for status, value in given.items() if value is not None}
    return {**settings.kept_for, **days}


def _show_counts(ended: Sequence[Ended]) -> None:
    rows = [(one.status, f"{one.roots:,}", f"{one.children:,}") for one in ended]
    show(
        listing("status root_jobs children", rows, numbers="root_jobs children"),
        quiet("a dry run: nothing was removed"),
    )
