-- Purpose: End the sessions that hold a partition's batch open although the partition's lease has expired. A worker
--   that was stopped between two messages of one statement leaves such a session, and no time-out of PostgreSQL
--   before 17 ends it. Its batch is rolled back. The advisory lock that move_checkpoint takes identifies a batch.
-- Parameters:
--   $1 projection text
--   $2 partition smallint
-- Result: pid integer, ended boolean
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey
SELECT held.pid, pg_catalog.pg_terminate_backend(held.pid) AS ended
FROM {schema}.projection_checkpoints AS checkpoint
JOIN pg_catalog.pg_locks AS held
    ON held.locktype = 'advisory'
        AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
        AND held.classid = 1702261620::pg_catalog.oid
        AND held.objid = pg_catalog.hashtext(
            {schema_name} || '/' || $1::pg_catalog.text || '/' || $2::smallint::pg_catalog.text
        )::bit(32)::bigint::pg_catalog.oid
        AND held.objsubid = 2
        AND held.granted
WHERE checkpoint.projection = $1::pg_catalog.text
    AND checkpoint.partition = $2::smallint
    AND checkpoint.lease_expires_at <= pg_catalog.clock_timestamp()
    AND held.pid <> pg_catalog.pg_backend_pid()
