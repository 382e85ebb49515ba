-- name: lock
-- One migration at a time, held until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('mqjobs.migrate', 0))

-- name: prepare
CREATE SCHEMA IF NOT EXISTS mqjobs;
CREATE TABLE IF NOT EXISTS mqjobs.schema_version (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    works_with integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: has_versions
SELECT to_regclass('mqjobs.schema_version') IS NOT NULL

-- name: current
SELECT coalesce(max(version), 0) FROM mqjobs.schema_version

-- name: works_with
-- The lowest version that is to know the steps taken since this one.
SELECT max(works_with) FROM mqjobs.schema_version WHERE version > $1

-- name: record
INSERT INTO mqjobs.schema_version (version, name, works_with) VALUES ($1, $2, $3)
