-- name: take_turn
-- Somebody's turn, unless somebody had it within this time.
INSERT INTO mqjobs.turn AS turn (name, taken_at) VALUES ($1, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET taken_at = clock_timestamp()
 WHERE turn.taken_at <= clock_timestamp() - $2::interval
RETURNING name

-- name: look_at_page
-- Active roots in which nothing has happened for a while, compared with their children as of one moment, without a lock.
SELECT root.id,
       root.children = counted.children AND root.children_success = counted.success
       AND root.children_failed = counted.failed AND root.children_cancelled = counted.cancelled
       AND root.children_stale = counted.stale AND counted.ended < counted.children
       OR counted.children = 0 AS agrees
  FROM (SELECT * FROM mqjobs.job
         WHERE root_id IS NULL AND status IN ('new', 'running')
           AND last_active_at < clock_timestamp() - $1::interval AND id > $2
         ORDER BY id
         LIMIT $3) AS root
 CROSS JOIN LATERAL (
           SELECT count(*) AS children,
                  count(*) FILTER (WHERE status = 'success') AS success,
                  count(*) FILTER (WHERE status = 'failed') AS failed,
                  count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
                  count(*) FILTER (WHERE status = 'stale') AS stale,
                  count(*) FILTER (WHERE status IN ('success', 'failed', 'cancelled', 'stale')) AS ended
             FROM mqjobs.job WHERE root_id = root.id) AS counted
 ORDER BY root.id

-- name: recount
-- What the counters of a root that is locked say, and what its children say.
SELECT root.children = counted.children AND root.children_success = counted.success
       AND root.children_failed = counted.failed AND root.children_cancelled = counted.cancelled
       AND root.children_stale = counted.stale AS agrees,
       counted.*
  FROM mqjobs.job AS root,
       LATERAL (SELECT count(*)::integer AS children,
                       (count(*) FILTER (WHERE status = 'success'))::integer AS success,
                       (count(*) FILTER (WHERE status = 'failed'))::integer AS failed,
                       (count(*) FILTER (WHERE status = 'cancelled'))::integer AS cancelled,
                       (count(*) FILTER (WHERE status = 'stale'))::integer AS stale
                  FROM mqjobs.job WHERE root_id = root.id) AS counted
 WHERE root.id = $1 AND root.status IN ('new', 'running')

-- name: set_counters
UPDATE mqjobs.job
   SET children = $2, children_success = $3, children_failed = $4, children_cancelled = $5, children_stale = $6
 WHERE id = $1

-- name: overdue
-- Messages that should have gone out by now.
SELECT count(*) FROM mqjobs.message
 WHERE dead_at IS NULL AND consumer_id IS NULL AND id > 0 AND available_at < clock_timestamp() - $1::interval
