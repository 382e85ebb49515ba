-- name: last_message
SELECT coalesce(max(id), 0) FROM mqjobs.message

-- name: throw_away
-- What waits in this queue, now or for later, up to this row is gone; what a consumer has, and dead letters, stay.
DELETE FROM mqjobs.message
 WHERE id IN (SELECT id FROM mqjobs.message
               WHERE queue = $1 AND dead_at IS NULL AND consumer_id IS NULL AND id <= $2
               LIMIT $3
                 FOR UPDATE SKIP LOCKED)
RETURNING message_id, job_id

-- name: count_waiting
-- What waits in this queue, now or for later.
SELECT count(*) FROM mqjobs.message WHERE queue = $1 AND dead_at IS NULL AND consumer_id IS NULL

-- name: lock_roots_of_messages
-- The roots of the children that messages are to run, and the roots that messages own.
SELECT id FROM mqjobs.job
 WHERE id IN (SELECT root_id FROM mqjobs.job WHERE id = ANY($1::bigint[])
              UNION ALL
              SELECT id FROM mqjobs.job WHERE root_id IS NULL AND owner_id = ANY($2::text[]))
 ORDER BY id
   FOR NO KEY UPDATE

-- name: cancel_children_of_messages
-- Children that wait for these messages: a delayed child for its own, an own child for one that owns its root. Another
-- queue may have a copy of a message, with a root of its own.
UPDATE mqjobs.job
   SET status = 'cancelled', stopped_at = clock_timestamp(), lease = lease + 1, error = $5
 WHERE status IN ('new', 'failed_redelivered')
   AND id IN (
           SELECT child.id
             FROM unnest($1::bigint[], $2::uuid[]) AS message(job_id, id)
             JOIN mqjobs.job AS child ON child.id = message.job_id AND child.message_id = message.id
            WHERE child.root_id IS NOT NULL
            UNION ALL
           SELECT own.id
             FROM mqjobs.job AS root
             JOIN mqjobs.job AS own ON own.root_id = root.id AND own.name = root.name
            WHERE root.root_id IS NULL AND root.owner_id = ANY($3::text[])
              AND (own.queue IS NULL OR own.queue = $4))
RETURNING root_id
