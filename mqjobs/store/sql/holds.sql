-- name: reserve_id
SELECT nextval(pg_get_serial_sequence('mqjobs.message', 'id'))

-- name: hold
-- A message in the name of the consumer that acts on it: it goes to nobody while that one lives.
INSERT INTO mqjobs.message
    (id, message_id, topic, queue, body, headers, priority, attempt, job_id, sent_at, expires_at, crashes,
     consumer_id, is_held, deliveries)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8, $9, $10, $11, $12, $13, true, 1)
    ON CONFLICT (id) DO NOTHING

-- name: let_come
-- It comes again after a delay; where the attempt has ended, no matter how, nobody has died of it.
UPDATE mqjobs.message
   SET consumer_id = NULL, is_held = false, available_at = clock_timestamp() + $3::interval,
       attempt = attempt + $4::integer, crashes = CASE WHEN $5 THEN 0 ELSE crashes END
 WHERE id = $1 AND consumer_id = $2 AND is_held

-- name: drop_held
DELETE FROM mqjobs.message WHERE id = $1 AND consumer_id = $2 AND is_held

-- name: let_all_come
-- A consumer that leaves in peace lets go of what it held.
UPDATE mqjobs.message SET consumer_id = NULL, is_held = false WHERE consumer_id = $1 AND dead_at IS NULL
