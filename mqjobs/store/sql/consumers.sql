-- name: register
-- Doing it again, because the answer was lost, changes nothing.
INSERT INTO mqjobs.consumer (id, host, pid, version, queues, alive_until)
VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6::interval)
    ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp(), alive_until = EXCLUDED.alive_until

-- name: beat
-- Still here. No row: this consumer was declared dead, and what it ran belongs to others.
UPDATE mqjobs.consumer
   SET heartbeat_at = clock_timestamp(), alive_until = clock_timestamp() + $2::interval, is_full = $3
 WHERE id = $1
RETURNING clock_timestamp()

-- name: deregister
DELETE FROM mqjobs.consumer WHERE id = $1

-- name: declare_dead
UPDATE mqjobs.consumer SET alive_until = clock_timestamp() WHERE id = $1

-- name: look_after
-- Of the runs that a consumer holds, those that are no longer its own and those that are to be stopped.
SELECT held.id, held.lease,
       job.id IS NULL OR job.lease <> held.lease OR job.status <> 'running' AS is_lost
  FROM unnest($1::bigint[], $2::integer[]) AS held(id, lease)
  LEFT JOIN mqjobs.job ON job.id = held.id
 WHERE job.id IS NULL OR job.lease <> held.lease OR job.status <> 'running' OR job.interrupted

-- name: dead_consumers
-- Consumers whose heartbeat is too old; a row that another reaper has in hand is left to it, with all that ran there.
SELECT id FROM mqjobs.consumer
 WHERE alive_until <= clock_timestamp()
 ORDER BY id
 LIMIT $1
   FOR UPDATE SKIP LOCKED

-- name: release_messages
-- Messages that dead or unknown consumers took go back to their queues, so many at a time. What one held it was acting
-- on: a crash.
UPDATE mqjobs.message AS message
   SET consumer_id = NULL, crashes = crashes + is_held::integer, is_held = false
  FROM (
    SELECT taken.id FROM mqjobs.message AS taken
     WHERE taken.consumer_id IS NOT NULL AND taken.dead_at IS NULL
       AND NOT EXISTS (SELECT FROM mqjobs.consumer AS consumer
                        WHERE consumer.id = taken.consumer_id AND consumer.alive_until > clock_timestamp())
     ORDER BY taken.id
     LIMIT $1
       FOR UPDATE SKIP LOCKED
  ) AS freed
 WHERE message.id = freed.id

-- name: orphans
-- Children that run in these dead consumers, or in one that nobody knows.
SELECT id
  FROM (
    (SELECT job.id FROM mqjobs.job
      WHERE job.root_id IS NOT NULL AND job.status = 'running' AND job.consumer_id = ANY($1::uuid[])
      LIMIT $2)
     UNION ALL
    (SELECT job.id FROM mqjobs.job
      WHERE job.root_id IS NOT NULL AND job.status = 'running'
        AND NOT EXISTS (SELECT FROM mqjobs.consumer WHERE consumer.id = job.consumer_id)
      LIMIT $2)
  ) AS orphan
 LIMIT $2

-- name: reap
-- Orphans run again, are cancelled where they were interrupted, and fail where consumers die under them again and
-- again. The next lease number sees to it that a consumer that only seemed dead writes nothing.
UPDATE mqjobs.job AS job
   SET status = orphan.becomes,
       stopped_at = CASE WHEN orphan.becomes <> 'failed_redelivered' THEN clock_timestamp() END,
       lease = job.lease + 1,
       crashes = job.crashes + 1,
       attempt = job.attempt - 1,
       error = format('the consumer that ran it died (%s of %s times allowed)', job.crashes + 1, $2::integer)
  FROM (
    SELECT child.id,
           CASE WHEN child.interrupted OR root.interrupted THEN 'cancelled'::mqjobs.job_status
                WHEN child.crashes + 1 >= $2::integer OR child.topic IS NULL THEN 'failed'
                ELSE 'failed_redelivered' END AS becomes
      FROM mqjobs.job AS child
      JOIN mqjobs.job AS root ON root.id = child.root_id
     WHERE child.id = ANY($1::bigint[])
  ) AS orphan
 WHERE job.id = orphan.id AND job.status = 'running' AND NOT mqjobs.is_alive(job.consumer_id)
RETURNING job.*

-- name: forget_consumers
-- Dead consumers under whom nothing runs any more.
DELETE FROM mqjobs.consumer
 WHERE id = ANY($1::uuid[])
   AND NOT EXISTS (SELECT FROM mqjobs.job
                    WHERE job.consumer_id = consumer.id AND job.root_id IS NOT NULL AND job.status = 'running')
RETURNING id

-- name: consumers
SELECT *, alive_until > clock_timestamp() AS is_alive FROM mqjobs.consumer ORDER BY started_at
