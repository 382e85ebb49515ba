-- name: bound_topics
-- Which of these topics a queue takes.
SELECT DISTINCT topic FROM mqjobs.binding WHERE topic = ANY($1::text[])

-- name: take_messages
-- Take what is due and free, the most urgent first, the queues in the order given, and no more than asked for.
-- There is no ORDER BY above the slots: they are read one by one until there is enough, and nothing else is locked.
WITH due AS MATERIALIZED (
    SELECT waiting.id
      FROM unnest($1::text[], $2::smallint[]) AS slot(queue, priority)
     CROSS JOIN LATERAL (
               SELECT message.id
                 FROM mqjobs.message AS message
                WHERE message.queue = slot.queue AND message.priority = slot.priority
                  AND message.dead_at IS NULL AND message.consumer_id IS NULL AND message.available_at <= now()
                ORDER BY message.available_at, message.id
                LIMIT $4
                  FOR UPDATE SKIP LOCKED
           ) AS waiting
     LIMIT $4
)
UPDATE mqjobs.message AS message
   SET consumer_id = $3, deliveries = message.deliveries + 1
  FROM due
 WHERE message.id = due.id
RETURNING message.*

-- name: delete_taken
-- These are done: they go, where this consumer still has them.
DELETE FROM mqjobs.message WHERE id = ANY($2::bigint[]) AND consumer_id = $1 AND dead_at IS NULL

-- name: free_taken
-- These go back to their queues, where this consumer still has them.
UPDATE mqjobs.message SET consumer_id = NULL
 WHERE id = ANY($2::bigint[]) AND consumer_id = $1 AND dead_at IS NULL

-- name: free_all_taken_but
-- What this consumer took from these queues goes back, but for the messages that it knows it has, and holds.
UPDATE mqjobs.message SET consumer_id = NULL
 WHERE consumer_id = $1 AND NOT is_held AND queue = ANY($2::text[]) AND id <> ALL($3::bigint[]) AND dead_at IS NULL

-- name: queue_counts
-- How full these queues are; one that no topic is bound to and that holds no message is not there.
SELECT asked.queue,
       (SELECT count(*) FROM mqjobs.message
         WHERE queue = asked.queue AND dead_at IS NULL AND consumer_id IS NULL AND available_at <= now()) AS ready,
       (SELECT count(*) FROM mqjobs.message
         WHERE queue = asked.queue AND dead_at IS NULL AND consumer_id IS NOT NULL) AS unacknowledged,
       (SELECT count(*) FROM mqjobs.consumer WHERE asked.queue = ANY(queues) AND alive_until > now()) AS consumers
  FROM unnest($1::text[]) WITH ORDINALITY AS asked(queue, place)
 WHERE EXISTS (SELECT FROM mqjobs.binding WHERE queue = asked.queue)
    OR EXISTS (SELECT FROM mqjobs.message
                WHERE queue = asked.queue AND dead_at IS NULL AND consumer_id IS NULL)
    OR EXISTS (SELECT FROM mqjobs.message
                WHERE queue = asked.queue AND dead_at IS NULL AND consumer_id IS NOT NULL)
 ORDER BY asked.place

-- name: pause
INSERT INTO mqjobs.paused_queue (queue, paused_by) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING queue

-- name: resume
DELETE FROM mqjobs.paused_queue WHERE queue = $1 RETURNING queue

-- name: pauses
SELECT queue, paused_at, paused_by FROM mqjobs.paused_queue ORDER BY queue
