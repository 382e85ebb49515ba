-- name: lock_roots_of
-- The roots of these children, in the order of their ids; what follows in the transaction sees them as they are.
SELECT id FROM mqjobs.job
 WHERE id IN (SELECT root_id FROM mqjobs.job WHERE id = ANY($1::bigint[]))
 ORDER BY id
   FOR NO KEY UPDATE

-- name: lock_root
SELECT id FROM mqjobs.job WHERE id = $1 AND root_id IS NULL FOR NO KEY UPDATE

-- name: find_root
-- The root of this owner and name with its own child.
SELECT root.id, root.status, own.id AS own_child_id
  FROM mqjobs.job AS root
  JOIN mqjobs.job AS own ON own.root_id = root.id AND own.name = root.name
 WHERE root.root_id IS NULL AND root.owner_id = $1 AND root.name = $2

-- name: create_root
-- A root and its own child, unless an active root has the name or this owner has the root already.
SELECT root_id, id FROM mqjobs.create_root($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: root_in_the_way
SELECT id FROM mqjobs.job
 WHERE root_id IS NULL AND is_unique AND status IN ('new', 'running') AND name = $1

-- name: take_over
-- What has become of a root that is in the way: it may still be, has ended meanwhile, or is stale now.
SELECT mqjobs.take_over($1, $2)

-- name: unstarted_roots_of
-- Roots of this owner whose own children are in one of these statuses, and those own children. A root that a retry has
-- opened again is running, although its own child may wait.
SELECT root.id, root.status, own.id AS own_child_id
  FROM mqjobs.job AS root
  JOIN mqjobs.job AS own ON own.root_id = root.id AND own.name = root.name
 WHERE root.root_id IS NULL AND root.owner_id = $1 AND ($2::text IS NULL OR root.name = $2)
   AND root.status IN ('new', 'running') AND own.status = ANY($3::mqjobs.job_status[])
 ORDER BY root.id

-- name: lock_roots_in_the_way
SELECT mqjobs.lock_roots_in_the_way($1, $2)

-- name: move_roots
-- Counters follow the children, and with them status and progress; a root with no open child has ended.
WITH moved AS (
    SELECT root.id,
           root.children + change.created AS children,
           root.children_success + change.success AS success,
           root.children_failed + change.failed AS failed,
           root.children_cancelled + change.cancelled AS cancelled,
           root.children_stale AS stale
      FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::integer[])
           AS change(root_id, created, success, failed, cancelled)
      JOIN mqjobs.job AS root ON root.id = change.root_id
     WHERE root.status IN ('new', 'running')
), derived AS (
    SELECT *, success + failed + cancelled + stale = children AS has_ended FROM moved
)
UPDATE mqjobs.job AS root
   SET children = derived.children,
       children_success = derived.success,
       children_failed = derived.failed,
       children_cancelled = derived.cancelled,
       progress = round((derived.success + derived.failed)::numeric / derived.children, 4),
       last_active_at = clock_timestamp(),
       stopped_at = CASE WHEN derived.has_ended THEN clock_timestamp() END,
       status = CASE
           WHEN NOT derived.has_ended THEN 'running'::mqjobs.job_status
           WHEN root.interrupted OR derived.cancelled > 0 THEN 'cancelled'
           WHEN derived.failed > 0 THEN 'failed'
           ELSE 'success'
       END
  FROM derived
 WHERE root.id = derived.id
RETURNING root.id, root.name, root.status

-- name: release_dependents
-- Roots that came to their end send what waited for that end: the dependent messages, once.
WITH ended AS (
    SELECT * FROM unnest($1::bigint[], $2::mqjobs.job_status[]) AS ended(root_id, status)
), released AS (
    UPDATE mqjobs.dependent_message AS dependent
       SET sent_at = clock_timestamp()
      FROM ended
     WHERE dependent.root_id = ended.root_id AND dependent.sent_at IS NULL
       AND ended.status IN ('success', 'failed')
       AND coalesce(dependent.on_status, ended.status) = ended.status
    RETURNING dependent.*
)
INSERT INTO mqjobs.message (message_id, topic, queue, body, headers, priority)
SELECT released.message_id, released.topic, binding.queue, released.body, released.headers, released.priority
  FROM released
  LEFT JOIN mqjobs.binding ON binding.topic = released.topic
 ORDER BY released.id

-- name: announce_ends
-- A message about each ended root, to the queues that are bound to the topic; where none is, no message.
INSERT INTO mqjobs.message (message_id, topic, queue, body, priority)
SELECT ended.message_id, binding.topic, binding.queue,
       convert_to(json_build_object('job_id', ended.id, 'name', ended.name, 'status', ended.status)::text, 'UTF8'),
       3
  FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[]) AS ended(message_id, id, name, status)
  JOIN mqjobs.binding ON binding.topic = $1

-- name: add_dependents
INSERT INTO mqjobs.dependent_message (root_id, message_id, topic, body, headers, priority, on_status)
SELECT $1, added.*
  FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::jsonb[], $6::smallint[], $7::mqjobs.job_status[])
       AS added(message_id, topic, body, headers, priority, on_status)
    ON CONFLICT (root_id, message_id) DO NOTHING
