-- name: due
-- Messages that are due to go out; rows that another relay has in hand are left to it.
SELECT * FROM mqjobs.message
 WHERE dead_at IS NULL AND consumer_id IS NULL AND available_at <= clock_timestamp()
 ORDER BY available_at, id
 LIMIT $1
   FOR UPDATE SKIP LOCKED

-- name: due_without_queue
-- Those of them that no queue takes: they are found without a look at those that wait in queues.
SELECT * FROM mqjobs.message
 WHERE dead_at IS NULL AND consumer_id IS NULL AND available_at <= clock_timestamp() AND queue IS NULL
 ORDER BY available_at, id
 LIMIT $1
   FOR UPDATE SKIP LOCKED

-- name: delete
DELETE FROM mqjobs.message WHERE id = ANY($1::bigint[])

-- name: make_dead
UPDATE mqjobs.message SET dead_at = clock_timestamp(), dead_reason = $2, dead_detail = $3
 WHERE id = ANY($1::bigint[])

-- name: oldest_due
-- How long ago the message that is overdue the longest was due.
SELECT clock_timestamp() - available_at FROM mqjobs.message
 WHERE dead_at IS NULL AND consumer_id IS NULL AND available_at <= clock_timestamp()
 ORDER BY available_at, id
 LIMIT 1
