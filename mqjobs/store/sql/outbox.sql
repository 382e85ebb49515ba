-- name: due
-- Messages that are due to go out; rows that another relay has in hand are left to it.
SELECT * FROM mqjobs.message
 WHERE dead_at IS NULL AND consumer_id IS NULL AND id > 0 AND available_at <= clock_timestamp()
   AND (relay_until IS NULL OR relay_until <= clock_timestamp())
 ORDER BY available_at, id
 LIMIT $1
   FOR UPDATE SKIP LOCKED

-- name: due_without_queue
-- Those of them that no queue takes: they are found without a look at those that wait in queues.
SELECT * FROM mqjobs.message
 WHERE dead_at IS NULL AND consumer_id IS NULL AND available_at <= clock_timestamp() AND queue IS NULL
   AND (relay_until IS NULL OR relay_until <= clock_timestamp())
 ORDER BY available_at, id
 LIMIT $1
   FOR UPDATE SKIP LOCKED

-- name: keep_in_hand
-- These are one relay's for so long, also when this transaction is over.
UPDATE mqjobs.message SET relay_until = clock_timestamp() + $2::interval
 WHERE id = ANY($1::bigint[]) AND dead_at IS NULL AND consumer_id IS NULL

-- name: let_go
-- These are due for any relay again.
UPDATE mqjobs.message SET relay_until = NULL WHERE id = ANY($1::bigint[]) AND dead_at IS NULL

-- name: delete
DELETE FROM mqjobs.message WHERE id = ANY($1::bigint[]) AND dead_at IS NULL

-- name: make_dead
UPDATE mqjobs.message
   SET dead_at = clock_timestamp(), dead_reason = $2, dead_detail = $3, relay_until = NULL,
       root_names = (SELECT array_agg(root.name ORDER BY root.name) FROM mqjobs.job AS root
                      WHERE root.root_id IS NULL AND root.owner_id = message.message_id::text)
 WHERE id = ANY($1::bigint[]) AND dead_at IS NULL

-- name: oldest_due
-- How long ago the message that is overdue the longest was due.
SELECT clock_timestamp() - available_at FROM mqjobs.message
 WHERE dead_at IS NULL AND consumer_id IS NULL AND id > 0 AND available_at <= clock_timestamp()
 ORDER BY available_at, id
 LIMIT 1
