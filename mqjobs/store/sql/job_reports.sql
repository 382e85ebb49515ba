-- name: job
-- One job; how long it has been quiet, and whether a delayed child that runs in a live consumer protects it.
SELECT job.*, clock_timestamp() - job.last_active_at AS quiet_for,
       EXISTS (
           SELECT FROM mqjobs.job AS child
            WHERE child.root_id = job.id AND NOT child.is_own_child AND child.status = 'running'
              AND mqjobs.is_alive(child.consumer_id)) AS is_protected
  FROM mqjobs.job AS job
 WHERE job.id = $1

-- name: roots
-- Roots of these statuses from below an id on, the newest first. Each status is read off its part of the index; a
-- plain = would let the planner walk all roots by id instead, in the hope of finding enough of them soon.
SELECT root.*, clock_timestamp() - root.last_active_at AS quiet_for,
       EXISTS (
           SELECT FROM mqjobs.job AS child
            WHERE child.root_id = root.id AND NOT child.is_own_child AND child.status = 'running'
              AND mqjobs.is_alive(child.consumer_id)) AS is_protected
  FROM (
    SELECT newest.*
      FROM unnest($1::mqjobs.job_status[]) AS wanted(status)
     CROSS JOIN LATERAL (
               SELECT job.* FROM mqjobs.job AS job
                WHERE job.root_id IS NULL AND job.status BETWEEN wanted.status AND wanted.status
                  AND job.id < $2 AND position($3::text IN job.name) > 0
                ORDER BY job.status DESC, job.id DESC
                LIMIT $4
           ) AS newest
     ORDER BY newest.id DESC
     LIMIT $4
  ) AS root
 ORDER BY root.id DESC

-- name: children
-- Children of a root of these statuses from above an id on, the oldest first, without what they were sent with. Each
-- status is read off its part of the index, as it is of roots.
SELECT child.*
  FROM unnest($2::mqjobs.job_status[]) AS wanted(status)
 CROSS JOIN LATERAL (
           SELECT id, root_id, owner_id, name, status, is_unique, is_own_child, interrupted, lease, attempt,
                  consumer_id, progress, error, data, topic, created_at, started_at, stopped_at,
                  last_active_at, children, children_success, children_failed, children_cancelled,
                  children_stale
             FROM mqjobs.job
            WHERE job.root_id = $1 AND job.status BETWEEN wanted.status AND wanted.status AND job.id > $3
            ORDER BY job.status, job.id
            LIMIT $4
       ) AS child
 ORDER BY child.id
 LIMIT $4

-- name: open_counts
-- How many children of a root are in each status that is no end, counted up to a limit.
SELECT wanted.status, counted.children
  FROM unnest(ARRAY['new', 'running', 'failed_redelivered']::mqjobs.job_status[]) AS wanted(status)
 CROSS JOIN LATERAL (
           SELECT count(*) AS children
             FROM (SELECT FROM mqjobs.job
                    WHERE job.root_id = $1 AND job.status = wanted.status
                    LIMIT $2) AS these
       ) AS counted

-- name: dependents
SELECT * FROM mqjobs.dependent_message WHERE root_id = $1 AND id > $2 ORDER BY id LIMIT $3

-- name: consumers
-- Who there is, and how many jobs each one runs.
SELECT consumer.*, consumer.alive_until > clock_timestamp() AS is_alive,
       (SELECT count(*) FROM mqjobs.job
         WHERE job.consumer_id = consumer.id AND job.root_id IS NOT NULL AND job.status = 'running') AS running
  FROM mqjobs.consumer AS consumer
 ORDER BY consumer.started_at, consumer.id

-- name: runs
-- What these consumers run: of each so many jobs, those first that have run the longest.
SELECT run.*
  FROM unnest($1::uuid[]) AS holder(id)
 CROSS JOIN LATERAL (
           SELECT job.* FROM mqjobs.job AS job
            WHERE job.consumer_id = holder.id AND job.root_id IS NOT NULL AND job.status = 'running'
            ORDER BY job.started_at, job.id
            LIMIT $2
       ) AS run
