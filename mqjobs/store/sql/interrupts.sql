-- name: root_id_of
SELECT coalesce(root_id, id) FROM mqjobs.job WHERE id = $1

-- name: cancel_child
-- A child that has not started, or whose consumer is gone, is cancelled at once.
UPDATE mqjobs.job SET status = 'cancelled', stopped_at = clock_timestamp(), interrupted = true, lease = lease + 1
 WHERE id = $1
   AND (status IN ('new', 'failed_redelivered') OR (status = 'running' AND NOT mqjobs.is_alive(consumer_id)))
RETURNING root_id

-- name: ask_to_stop
-- A child that runs: its consumer stops the code.
UPDATE mqjobs.job SET interrupted = true WHERE id = $1 AND status = 'running' RETURNING id

-- name: interrupt_root
UPDATE mqjobs.job SET interrupted = true WHERE id = $1 AND status IN ('new', 'running') RETURNING children

-- name: cancel_waiting
-- The children of a root that have not started, or whose consumer is gone.
WITH cancelled AS (
    UPDATE mqjobs.job SET status = 'cancelled', stopped_at = clock_timestamp(), lease = lease + 1
     WHERE root_id = $1
       AND (status IN ('new', 'failed_redelivered')
            OR (status = 'running' AND NOT mqjobs.is_alive(consumer_id)))
    RETURNING id
)
SELECT count(*) FROM cancelled

-- name: stop_own_child
UPDATE mqjobs.job SET interrupted = true WHERE root_id = $1 AND is_own_child AND status = 'running'

-- name: root_to_reopen
-- The root, and the other active one that has its name.
SELECT root.name, root.status, root.interrupted,
       (SELECT other.id FROM mqjobs.job AS other
         WHERE other.root_id IS NULL AND other.is_unique AND other.status IN ('new', 'running')
           AND other.name = root.name AND other.id <> root.id) AS taken_by
  FROM mqjobs.job AS root
 WHERE root.id = $1

-- name: drop_letters_of
-- The messages of these children are on their way again: what was kept of them as dead letters is history.
DELETE FROM mqjobs.message AS letter
 USING mqjobs.job AS child
 WHERE child.id = ANY($1::bigint[]) AND NOT child.is_own_child
   AND letter.message_id = child.message_id AND letter.job_id = child.id AND letter.dead_at IS NOT NULL

-- name: retried_children
-- The children that an operator's retry means: this one, or the failed ones of this root.
SELECT id, status, topic IS NOT NULL AS has_message FROM mqjobs.job
 WHERE (id = $1 AND root_id IS NOT NULL) OR (root_id = $1 AND status = 'failed')
 ORDER BY id

-- name: retry_children
-- The next lease number sees to it that the run before, should it write its outcome again, does not find it there.
-- Who asks for another run asks for it although the time for it is over.
UPDATE mqjobs.job
   SET status = 'new', lease = lease + 1, retries = retries + 1, attempt = 0, crashes = 0, interrupted = false,
       stopped_at = NULL, error = NULL, progress = 0,
       expires_at = CASE WHEN expires_at > clock_timestamp() THEN expires_at END
  FROM (SELECT id AS was_id, status AS was FROM mqjobs.job WHERE id = ANY($1::bigint[])) AS before
 WHERE id = before.was_id AND before.was IN ('failed', 'cancelled')
RETURNING *, before.was

-- name: reopen_root
-- Back to running with these children open again; an ended root needs its name to be free. One that still runs and was
-- interrupted stays as it is.
UPDATE mqjobs.job
   SET status = 'running', stopped_at = NULL, interrupted = false, last_active_at = clock_timestamp(),
       retries = retries + (status <> 'running')::integer,
       children_failed = children_failed - $2::integer,
       children_cancelled = children_cancelled - $3::integer,
       progress = round((children_success + children_failed - $2)::numeric / children, 4)
 WHERE id = $1 AND root_id IS NULL AND status IN ('running', 'success', 'failed', 'cancelled')
   AND NOT (status = 'running' AND interrupted)
RETURNING id

-- name: has_ended
SELECT stopped_at IS NOT NULL FROM mqjobs.job WHERE id = $1
