-- name: insert_messages
-- Write messages down in their order: one row for each queue bound to the topic, or for the queue that one names.
-- Headers come as JSON text: the connection may be a caller's own, which knows no dictionaries.
-- A topic that no queue takes gives a row without a queue, which the relay makes a dead letter.
INSERT INTO mqjobs.message
    (message_id, topic, queue, body, headers, priority, attempt, job_id, sent_at, available_at, expires_at, crashes)
SELECT sent.message_id, sent.topic, coalesce(sent.queue, binding.queue), sent.body, sent.headers::jsonb, sent.priority,
       sent.attempt, sent.job_id, sent.sent_at, now() + sent.delay, sent.expires_at, sent.crashes
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::smallint[], $7::integer[],
              $8::bigint[], $9::timestamptz[], $10::interval[], $11::timestamptz[], $12::integer[]) WITH ORDINALITY
       AS sent(message_id, topic, queue, body, headers, priority, attempt, job_id, sent_at, delay, expires_at, crashes,
               place)
  LEFT JOIN mqjobs.binding ON sent.queue IS NULL AND binding.topic = sent.topic
 ORDER BY sent.place

-- name: drop_older_letters
-- What was kept before of the same message to the same job.
DELETE FROM mqjobs.message AS kept
 USING unnest($1::uuid[], $2::text[], $3::bigint[]) AS dead(message_id, queue, job_id)
 WHERE kept.message_id = dead.message_id AND kept.dead_at IS NOT NULL
   AND kept.job_id IS NOT DISTINCT FROM dead.job_id
   AND (kept.queue IS NULL OR dead.queue IS NULL OR kept.queue = dead.queue)

-- name: insert_dead_letters
-- Keep messages that nobody could handle, with the reason.
INSERT INTO mqjobs.message
    (message_id, topic, queue, body, headers, priority, attempt, job_id, sent_at, expires_at,
     dead_at, dead_reason, dead_detail, root_names)
SELECT dead.message_id, dead.topic, dead.queue, dead.body, dead.headers::jsonb, dead.priority, dead.attempt,
       dead.job_id, dead.sent_at, dead.expires_at, now(), dead.reason, dead.detail,
       (SELECT array_agg(root.name ORDER BY root.name) FROM mqjobs.job AS root
         WHERE root.root_id IS NULL AND root.owner_id = dead.message_id::text)
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::smallint[], $7::integer[],
              $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[])
       AS dead(message_id, topic, queue, body, headers, priority, attempt, job_id, sent_at, expires_at, reason, detail)

-- name: bind
-- Queues take topics.
INSERT INTO mqjobs.binding (topic, queue)
SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT DO NOTHING

-- name: bindings
SELECT queue, topic FROM mqjobs.binding ORDER BY queue, topic

-- name: database_now
SELECT now()
