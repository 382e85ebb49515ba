-- name: count_ended
-- How many roots ended in this way so long ago, and how many children they have.
SELECT old.status, count(root.id) AS roots, coalesce(sum(root.children), 0)::bigint AS children
  FROM unnest($1::mqjobs.job_status[], $2::interval[]) AS old(status, age)
  LEFT JOIN mqjobs.job AS root
    ON root.root_id IS NULL AND root.stopped_at IS NOT NULL
   AND root.status = old.status AND root.stopped_at < now() - old.age
 GROUP BY old.status
 ORDER BY old.status

-- name: have_to_myself
SELECT pg_try_advisory_xact_lock(hashtextextended('mqjobs.cleanup', 0))

-- name: lock_ended
-- Some of those roots; what somebody else has in hand is left to him.
SELECT root.id, root.children
  FROM unnest($1::mqjobs.job_status[], $2::interval[]) AS old(status, age)
 CROSS JOIN LATERAL (
           SELECT job.id, job.children FROM mqjobs.job AS job
            WHERE job.root_id IS NULL AND job.stopped_at IS NOT NULL
              AND job.status = old.status AND job.stopped_at < now() - old.age
            ORDER BY job.stopped_at
            LIMIT $3
              FOR UPDATE SKIP LOCKED
       ) AS root
 LIMIT $3

-- name: remove_roots
-- Roots with all their children and dependent messages.
WITH dependent AS (
    DELETE FROM mqjobs.dependent_message WHERE root_id = ANY($1::bigint[]) RETURNING id
), child AS (
    DELETE FROM mqjobs.job WHERE root_id = ANY($1::bigint[]) RETURNING id
), root AS (
    DELETE FROM mqjobs.job WHERE id = ANY($1::bigint[]) AND root_id IS NULL RETURNING id
)
SELECT (SELECT count(*) FROM root) AS roots,
       (SELECT count(*) FROM child) AS children,
       (SELECT count(*) FROM dependent) AS dependents
