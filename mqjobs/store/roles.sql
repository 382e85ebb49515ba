-- Roles for the processes that use mqjobs. They cannot log in: grant them to the users that do.
-- To be run by the owner of the schema, who migrates it, with the right to create roles; and again after each migration.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['mqjobs_producer', 'mqjobs_consumer', 'mqjobs_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA mqjobs FROM mqjobs_producer, mqjobs_consumer, mqjobs_reader;
GRANT USAGE ON SCHEMA mqjobs TO mqjobs_producer, mqjobs_consumer, mqjobs_reader;
GRANT SELECT ON mqjobs.schema_version TO mqjobs_producer, mqjobs_consumer, mqjobs_reader;

-- Sends messages, with their root jobs. Sees the names and statuses of jobs, and changes none.
GRANT SELECT ON mqjobs.binding TO mqjobs_producer;
GRANT SELECT (id, root_id, owner_id, name, status, is_unique) ON mqjobs.job TO mqjobs_producer;
GRANT INSERT ON mqjobs.message TO mqjobs_producer;
GRANT EXECUTE ON FUNCTION
    mqjobs.create_root(text, text, uuid, text, text, bytea, text, smallint, timestamptz, boolean, bigint),
    mqjobs.take_over(bigint, interval),
    mqjobs.lock_roots_in_the_way(text[], interval[])
TO mqjobs_producer;

-- Consumes, relays, sends; and what operators do.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mqjobs TO mqjobs_consumer;
REVOKE INSERT, UPDATE, DELETE ON mqjobs.schema_version FROM mqjobs_consumer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA mqjobs TO mqjobs_consumer;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA mqjobs TO mqjobs_consumer;

-- Looks at everything, bodies and errors, too.
GRANT SELECT ON ALL TABLES IN SCHEMA mqjobs TO mqjobs_reader;
GRANT EXECUTE ON FUNCTION mqjobs.is_alive(uuid) TO mqjobs_reader;
