-- name: unsure_queues
-- Queues of which a live consumer may have messages in hand that it has not looked at: all its slots were taken when it
-- last said so, or it has said nothing since that moment.
SELECT DISTINCT taken.queue
  FROM mqjobs.consumer AS consumer
 CROSS JOIN unnest(consumer.queues) AS taken(queue)
 WHERE consumer.alive_until > clock_timestamp() AND (consumer.is_full OR consumer.heartbeat_at <= $1)

-- name: somebody_is_silent
-- Whether a live consumer has said nothing since that moment.
SELECT EXISTS (SELECT FROM mqjobs.consumer WHERE alive_until > clock_timestamp() AND heartbeat_at <= $1)

-- name: lost_children
-- Children that wait for a message of these topics or queues which is not in the outbox, in roots in which nothing has
-- happened for a while; those that were sent again have that while, too. From behind a root and child on.
SELECT lost.id, lost.root_id
  FROM (SELECT id FROM mqjobs.job
         WHERE root_id IS NULL AND status IN ('new', 'running')
           AND last_active_at < clock_timestamp() - $1::interval AND id >= $4
         ORDER BY id) AS root
 CROSS JOIN LATERAL (
           SELECT child.id, child.root_id
             FROM mqjobs.job AS child
            WHERE child.root_id = root.id AND child.status IN ('new', 'failed_redelivered')
              AND (root.id > $4 OR child.id > $5)
              AND child.awaits_message
              AND CASE WHEN child.queue IS NULL THEN child.topic = ANY($2::text[])
                       ELSE child.queue = ANY($3::text[]) END
              AND (child.resent_at IS NULL OR child.resent_at < clock_timestamp() - $1::interval)
              AND NOT EXISTS (SELECT FROM mqjobs.message
                               WHERE message.message_id = child.message_id AND message.dead_at IS NULL
                                 AND (message.job_id = child.id OR child.is_own_child))
            ORDER BY child.id
            LIMIT $6
       ) AS lost
 LIMIT $6

-- name: lock_quiet_roots
-- Those of these roots in which still nothing happens; one that somebody has in hand is not quiet.
SELECT id FROM mqjobs.job
 WHERE id = ANY($1::bigint[]) AND last_active_at < clock_timestamp() - $2::interval
 ORDER BY id
   FOR NO KEY UPDATE SKIP LOCKED

-- name: mark_resent
-- Those of these children that still wait for their message.
UPDATE mqjobs.job AS child
   SET resent_at = clock_timestamp()
 WHERE id = ANY($1::bigint[]) AND root_id = ANY($2::bigint[]) AND status IN ('new', 'failed_redelivered')
   AND awaits_message
   AND CASE WHEN queue IS NULL THEN topic = ANY($4::text[]) ELSE queue = ANY($5::text[]) END
   AND (resent_at IS NULL OR resent_at < clock_timestamp() - $3::interval)
   AND NOT EXISTS (SELECT FROM mqjobs.message
                    WHERE message.message_id = child.message_id AND message.dead_at IS NULL
                      AND (message.job_id = child.id OR child.is_own_child))
RETURNING *
