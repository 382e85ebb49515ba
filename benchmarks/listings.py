"""What operators list, on very many jobs: first pages, every filter, pages further down."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from statistics import median
from time import perf_counter

from benchmarks.place import Place
from mqjobs.model.status import JobStatus
from mqjobs.processing.stale_times import StaleTimes
from mqjobs.store import job_reports
from mqjobs.store.database import Connection, open_pool
from mqjobs.store.job_reports import RootsWanted

Look = Callable[[Connection], Awaitable[object]]

LOOKS = 5
"""How often each is looked at; the first look, which fills the caches, is not counted."""

LARGE_ROOT = 10
JOBS_OF_A_ROOT = 10

ROWS = """
INSERT INTO mqjobs.job (id, root_id, owner_id, name, status, is_unique, lease, consumer_id, attempt, progress, topic,
                        body, created_at, started_at, stopped_at, last_active_at, children, children_success)
SELECT id, root_id,
       CASE WHEN root_id IS NULL THEN 'owner:' || id END,
       CASE WHEN root_id IS NULL THEN 'bench.root:' || id ELSE 'bench.child:' || id END,
       status, root_id IS NULL, 1, gen_random_uuid(), 1, CASE WHEN has_ended THEN 1 ELSE 0 END, 'bench.piece',
       CASE WHEN root_id IS NOT NULL THEN convert_to(repeat('x', 200), 'UTF8') END,
       moment, moment, CASE WHEN has_ended THEN moment END, moment,
       CASE WHEN root_id IS NULL THEN 1 ELSE 0 END, CASE WHEN root_id IS NULL AND has_ended THEN 1 ELSE 0 END
  FROM (SELECT id, status, status IN ('success', 'failed', 'cancelled', 'stale') AS has_ended,
               now() - ($1::bigint - id) * interval '10 milliseconds' AS moment,
               CASE WHEN id % $2 = 0 THEN NULL
                    WHEN id > $1 / 2 THEN $3 ELSE greatest(id / $2 * $2, $2) END AS root_id
          FROM (SELECT id::bigint AS id,
                       (CASE WHEN id % 10007 = 0 AND id % $2 <> 0 THEN 'new'
                             WHEN id % 20011 = 0 THEN 'running'
                             WHEN id % 503 = 0 THEN 'failed'
                             WHEN id % 1009 = 0 THEN 'cancelled'
                             WHEN id % 2003 = 0 THEN 'stale'
                             ELSE 'success' END)::mqjobs.job_status AS status
                  FROM generate_series(1::bigint, $1::bigint) AS id) AS numbered) AS placed
"""


async def run(place: Place, size: int) -> dict[str, float]:
    """Milliseconds that listings take on so many rows, half of them children of one root; medians of some looks."""
    async with open_pool(place.database_url, size=1) as pool, pool.acquire() as connection:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(ROWS, size, JOBS_OF_A_ROOT, LARGE_ROOT, timeout=None)
        await connection.execute("VACUUM ANALYZE mqjobs.job", timeout=None)
        first = await _milliseconds(connection, roots(RootsWanted()))
        taken = {name: await _milliseconds(connection, look) for name, look in looks(size).items()}
    slowest = max(taken, key=lambda name: taken[name])
    return {"first page, ms": first, "slowest filter, ms": taken[slowest]} | {
        f"{name}, ms": milliseconds for name, milliseconds in taken.items()
    }


def looks(size: int) -> Mapping[str, Look]:
    """Every filter of the listings, and pages further down."""
    return {
        **{f"{status} roots": roots(RootsWanted(statuses=[status])) for status in JobStatus},
        "stale-looking roots": roots(RootsWanted(only_stale=True)),
        "roots further down": roots(RootsWanted(before=size // 2)),
        "the oldest root by its name": roots(RootsWanted(name="bench.root:10")),
        "roots by a name that none has": roots(RootsWanted(name="none:")),
        "children": children(),
        "children further down": children(after=size * 3 // 4),
        **{f"{status} children": children(status=status) for status in JobStatus},
        "open children, counted": partial(
            job_reports.open_counts, root_id=LARGE_ROOT, at_most=10_000
        ),
        "consumers": job_reports.consumers,
    }


def roots(wanted: RootsWanted) -> Look:
    """A page of roots."""
    return partial(job_reports.roots, wanted=wanted, stale_after=StaleTimes().of)


def children(*, status: JobStatus | None = None, after: int = 0) -> Look:
    """A page of the children of the large root."""
    return partial(job_reports.children, root_id=LARGE_ROOT, status=status, after=after)


async def _milliseconds(connection: Connection, look: Look) -> float:
    await look(connection)
    return median([await _one(connection, look) for _ in range(LOOKS)])


async def _one(connection: Connection, look: Look) -> float:
    began = perf_counter()
    await look(connection)
    return (perf_counter() - began) * 1000
