-- Purpose: End the sessions that hold a lane's batch open though the lane's lease has expired: of a worker that was stopped
--   between two messages of one statement, which no time-out of PostgreSQL before 17 ends. What it had in hand is rolled
--   back. A batch is known by the advisory lock that move_checkpoint takes.
-- Parameters:
--   $1 projection text
--   $2 lane smallint
-- Result: pid integer, ended boolean
-- Locks: none beyond ACCESS SHARE
-- Index: projection_checkpoints_pkey
SELECT held.pid, pg_terminate_backend(held.pid) AS ended
FROM projection_checkpoints AS checkpoint
JOIN pg_locks AS held
    ON held.locktype = 'advisory'
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND held.classid = 1702261620::oid
        AND held.objid = hashtext($1::text || '/' || $2::smallint)::bit(32)::bigint::oid
        AND held.objsubid = 2
        AND held.granted
WHERE checkpoint.projection = $1::text
    AND checkpoint.lane = $2::smallint
    AND checkpoint.lease_expires_at <= clock_timestamp()
    AND held.pid <> pg_backend_pid()
