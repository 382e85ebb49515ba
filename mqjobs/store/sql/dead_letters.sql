-- name: dead_letters
-- Dead letters from below an id on, the newest first.
SELECT * FROM mqjobs.message
 WHERE dead_at IS NOT NULL AND id < $1
   AND ($2::text IS NULL OR topic = $2)
   AND ($3::text IS NULL OR queue = $3)
   AND ($4::text IS NULL OR dead_reason = $4)
 ORDER BY id DESC
 LIMIT $5

-- name: dead_letter_ids
-- The oldest first, in whose order they came.
SELECT id FROM mqjobs.message
 WHERE dead_at IS NOT NULL
   AND ($1::text IS NULL OR topic = $1)
   AND ($2::text IS NULL OR queue = $2)
   AND ($3::text IS NULL OR dead_reason = $3)
 ORDER BY id
 LIMIT $4

-- name: dead_letter
SELECT * FROM mqjobs.message WHERE id = $1 AND dead_at IS NOT NULL

-- name: lock_dead_letter
SELECT * FROM mqjobs.message WHERE id = $1 AND dead_at IS NOT NULL FOR UPDATE

-- name: lock_roots_of_message
-- The root of the child that a message is to run, and the roots that the message owns.
SELECT id FROM mqjobs.job
 WHERE id IN (SELECT root_id FROM mqjobs.job WHERE id = $1
              UNION ALL
              SELECT id FROM mqjobs.job WHERE root_id IS NULL AND owner_id = $2)
 ORDER BY id
   FOR NO KEY UPDATE

-- name: jobs_of_message
-- The child that a message is to run, and the own children of the roots that it owns.
SELECT child.id, child.status, root.name, child.is_own_child AND root.started_at IS NULL AS is_unstarted
  FROM mqjobs.job AS child
  JOIN mqjobs.job AS root ON root.id = child.root_id
 WHERE child.id IN (
           SELECT id FROM mqjobs.job WHERE id = $1 AND root_id IS NOT NULL
            UNION ALL
           SELECT own.id FROM mqjobs.job AS owned
             JOIN mqjobs.job AS own ON own.root_id = owned.id AND own.name = owned.name
            WHERE owned.root_id IS NULL AND owned.owner_id = $2)
 ORDER BY root.id, child.id

-- name: revive
-- From a dead letter to a message in the outbox, in the queue that it had, as at its first attempt; under another
-- id if one is given. Without a queue it goes to those that take its topic by then.
UPDATE mqjobs.message
   SET dead_at = NULL, dead_reason = NULL, dead_detail = NULL,
       message_id = coalesce($2, message_id),
       available_at = now(), attempt = 1, consumer_id = NULL, deliveries = 0,
       expires_at = CASE WHEN expires_at > now() THEN expires_at END
 WHERE id = $1 AND dead_at IS NOT NULL
RETURNING *

-- name: drop
DELETE FROM mqjobs.message WHERE id = ANY($1::bigint[]) AND dead_at IS NOT NULL RETURNING id
