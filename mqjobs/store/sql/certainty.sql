-- name: transaction_id
-- The number under which the commit of this transaction can be asked for; none where it has written nothing.
SELECT pg_current_xact_id_if_assigned()::text

-- name: what_became_of
SELECT pg_xact_status($1::text::xid8)
