-- name: not_held
SELECT id, lease FROM mqjobs.job
 WHERE consumer_id = $1 AND root_id IS NOT NULL AND status = 'running' AND id <> ALL($2::bigint[])

-- name: give_back
-- Runs of this consumer that it does not hold run again, are cancelled where they were interrupted, and fail where no
-- message can start them. The next lease number sees to it that an outcome that is still on its way is not written.
UPDATE mqjobs.job AS job
   SET status = unheld.becomes,
       stopped_at = CASE WHEN unheld.becomes <> 'failed_redelivered' THEN clock_timestamp() END,
       lease = job.lease + 1,
       attempt = job.attempt - 1,
       error = 'its consumer lost this run, and gave it back'
  FROM (
    SELECT child.id, given.lease,
           CASE WHEN child.interrupted OR root.interrupted THEN 'cancelled'::mqjobs.job_status
                WHEN child.topic IS NULL THEN 'failed'
                ELSE 'failed_redelivered' END AS becomes
      FROM unnest($1::bigint[], $2::integer[]) AS given(id, lease)
      JOIN mqjobs.job AS child ON child.id = given.id
      JOIN mqjobs.job AS root ON root.id = child.root_id
  ) AS unheld
 WHERE job.id = unheld.id AND job.lease = unheld.lease AND job.status = 'running' AND job.consumer_id = $3
RETURNING job.*
