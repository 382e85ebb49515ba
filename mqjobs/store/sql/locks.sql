-- name: begin
-- Nobody waits for ever: we for rows that another holds, nor others for rows of one of us who is gone.
BEGIN;
SET LOCAL lock_timeout = '1s';
SET LOCAL idle_in_transaction_session_timeout = '30s'

-- name: locked_children
-- Those of these children that somebody has in hand, themselves or their roots.
WITH wanted AS (
    SELECT id, root_id FROM mqjobs.job WHERE id = ANY($1::bigint[])
), free AS (
    SELECT id FROM mqjobs.job
     WHERE id IN (SELECT id FROM wanted UNION SELECT root_id FROM wanted)
       FOR NO KEY UPDATE SKIP LOCKED
)
SELECT id FROM wanted
 WHERE id NOT IN (SELECT id FROM free) OR root_id NOT IN (SELECT id FROM free)
