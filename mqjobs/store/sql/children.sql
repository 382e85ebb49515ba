-- name: claim_children
-- New, or to be tried again, or left running by a consumer that is dead: to running, with the next lease number, in a
-- consumer that lives itself. What was interrupted, it or its root, is left to the reaper. Their roots, which are locked,
-- are running and active; a root's own time of start is that of its own child.
WITH claimed AS (
    UPDATE mqjobs.job AS job
       SET status = 'running',
           lease = job.lease + 1,
           claim_id = wanted.claim_id,
           consumer_id = wanted.consumer_id,
           attempt = job.attempt + (job.status <> 'running')::integer,
           crashes = job.crashes + (job.status = 'running')::integer,
           started_at = clock_timestamp()
      FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) AS wanted(id, claim_id, consumer_id)
     WHERE job.id = wanted.id AND job.root_id IS NOT NULL AND mqjobs.is_alive(wanted.consumer_id)
       AND (job.status IN ('new', 'failed_redelivered')
            OR (job.status = 'running' AND NOT job.interrupted AND job.crashes + 1 < $4::integer
                AND NOT mqjobs.is_alive(job.consumer_id)
                AND NOT EXISTS (SELECT FROM mqjobs.job AS root WHERE root.id = job.root_id AND root.interrupted)))
    RETURNING job.*,
              job.crashes > 0 AND (SELECT before.status = 'running' FROM mqjobs.job AS before WHERE before.id = job.id)
              AS is_takeover
), touched AS (
    UPDATE mqjobs.job AS root
       SET status = 'running', last_active_at = clock_timestamp(),
           started_at = CASE WHEN started.own THEN coalesce(root.started_at, clock_timestamp())
                             ELSE root.started_at END
      FROM (SELECT root_id, bool_or(is_own_child) AS own FROM claimed GROUP BY root_id) AS started
     WHERE root.id = started.root_id AND root.status IN ('new', 'running')
)
SELECT * FROM claimed

-- name: live_consumers
SELECT id FROM mqjobs.consumer WHERE id = ANY($1::uuid[]) AND alive_until > clock_timestamp()

-- name: begin_unrun_child
-- A child whose message has ended before anybody ran it, or while the one who did was dead, on its way to its end: no
-- attempt is counted, and nobody has started it.
UPDATE mqjobs.job AS job
   SET status = 'running', lease = job.lease + 1, claim_id = $2, consumer_id = $3
 WHERE job.id = $1 AND job.root_id IS NOT NULL
   AND (job.status = 'new' OR job.status = 'failed_redelivered'
        OR (job.status = 'running' AND NOT job.interrupted AND NOT mqjobs.is_alive(job.consumer_id)
            AND NOT EXISTS (SELECT FROM mqjobs.job AS root WHERE root.id = job.root_id AND root.interrupted)))
RETURNING job.lease

-- name: was_ended_by
-- Whether this call, made before, has ended the child.
SELECT EXISTS (SELECT FROM mqjobs.job WHERE id = $1 AND claim_id = $2 AND stopped_at IS NOT NULL)

-- name: read_jobs
SELECT *, coalesce(mqjobs.is_alive(consumer_id), false) AS is_held FROM mqjobs.job WHERE id = ANY($1::bigint[])

-- name: finish_children
-- Running to an end, by the holders of the leases and by nobody else. What was interrupted does not run again. Where
-- code goes on that was told to stop, the next lease number sees to it that nothing it writes later counts.
WITH finished AS (
    SELECT given.*,
           CASE WHEN given.status = 'failed_redelivered' AND (child.interrupted OR root.interrupted)
                THEN 'cancelled' ELSE given.status END AS becomes
      FROM unnest($1::bigint[], $2::integer[], $3::mqjobs.job_status[], $4::text[], $5::boolean[],
                  $6::boolean[])
           AS given(id, lease, status, error, counts_as_attempt, takes_lease)
      JOIN mqjobs.job AS child ON child.id = given.id
      JOIN mqjobs.job AS root ON root.id = child.root_id
)
UPDATE mqjobs.job AS job
   SET status = finished.becomes,
       stopped_at = CASE WHEN finished.becomes <> 'failed_redelivered' THEN clock_timestamp() END,
       progress = CASE WHEN finished.becomes = 'success' THEN 1 ELSE job.progress END,
       error = finished.error,
       attempt = job.attempt - (NOT finished.counts_as_attempt)::integer,
       lease = job.lease + finished.takes_lease::integer
  FROM finished
 WHERE job.id = finished.id AND job.lease = finished.lease AND job.status = 'running'
RETURNING job.id, finished.lease AS lease, job.root_id, job.status

-- name: holds_lease
SELECT EXISTS (SELECT FROM mqjobs.job WHERE id = $1 AND lease = $2 AND status = 'running')

-- name: reserve_ids
SELECT nextval(pg_get_serial_sequence('mqjobs.job', 'id')) FROM generate_series(1, $1::integer)

-- name: create_children
-- Delayed children and their messages, those whose names this root does not have yet. In an interrupted root they
-- are cancelled from the start, and no message goes out.
WITH given AS (
    SELECT *
      FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::text[], $6::bytea[], $7::jsonb[], $8::smallint[],
                  $9::interval[], $10::timestamptz[])
           AS given(id, name, message_id, topic, body, headers, priority, delay, expires_at)
), created AS (
    INSERT INTO mqjobs.job
        (id, root_id, name, status, stopped_at, message_id, topic, body, headers, priority, expires_at)
    SELECT given.id, root.id, given.name,
           CASE WHEN root.interrupted THEN 'cancelled'::mqjobs.job_status ELSE 'new' END,
           CASE WHEN root.interrupted THEN clock_timestamp() END,
           given.message_id, given.topic, given.body, given.headers, given.priority, given.expires_at
      FROM given, mqjobs.job AS root
     WHERE root.id = $1
        ON CONFLICT (root_id, name) WHERE root_id IS NOT NULL DO NOTHING
    RETURNING id, status
), sent AS (
    INSERT INTO mqjobs.message
        (message_id, topic, queue, body, headers, priority, job_id, available_at, expires_at)
    SELECT given.message_id, given.topic, binding.queue, given.body, given.headers, given.priority, given.id,
           clock_timestamp() + given.delay, given.expires_at
      FROM given
      JOIN created ON created.id = given.id AND created.status = 'new'
      LEFT JOIN mqjobs.binding ON binding.topic = given.topic
     ORDER BY given.id
)
SELECT id, status FROM created

-- name: children_by_name
SELECT * FROM mqjobs.job WHERE root_id = $1 AND name = ANY($2::text[])

-- name: report
-- Progress and data of a run, by the holder of its lease; its root, which is locked, is active.
WITH reported AS (
    UPDATE mqjobs.job
       SET progress = coalesce($3::numeric, progress),
           data = CASE WHEN $4::jsonb IS NULL THEN data ELSE coalesce(data, '{}') || $4::jsonb END
     WHERE id = $1 AND lease = $2 AND status = 'running'
    RETURNING root_id, coalesce(octet_length(data::text), 0) AS data_bytes
), touched AS (
    UPDATE mqjobs.job AS root
       SET last_active_at = clock_timestamp()
      FROM reported
     WHERE root.id = reported.root_id AND root.status IN ('new', 'running')
)
SELECT data_bytes FROM reported
