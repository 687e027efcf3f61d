-- Purpose: Take the lease of a lane, if it is free, has expired, or is this worker's already, without waiting for whoever
--   holds the row. The epoch goes up, so that whoever had it before can write no more.
-- Parameters:
--   $1 projection text
--   $2 lane smallint
--   $3 owner text
--   $4 lease_s double precision seconds
-- Result: is_free boolean (taken or not: the row may be locked), position bigint, epoch bigint (both NULL: not taken),
--   owner_before text; no row where there is no such lane
-- Locks: the row's
-- Index: projection_checkpoints_pkey
WITH lane AS (
    SELECT
        lease_owner,
        lease_expires_at IS NULL OR lease_expires_at <= pg_catalog.clock_timestamp() OR lease_owner = $3::pg_catalog.text AS is_free
    FROM {schema}.projection_checkpoints
    WHERE projection = $1::pg_catalog.text AND lane = $2::smallint
),
free AS (
    SELECT projection, lane FROM {schema}.projection_checkpoints
    WHERE projection = $1::pg_catalog.text
        AND lane = $2::smallint
        AND (lease_expires_at IS NULL OR lease_expires_at <= pg_catalog.clock_timestamp() OR lease_owner = $3::pg_catalog.text)
    FOR UPDATE SKIP LOCKED
),
taken AS (
    UPDATE {schema}.projection_checkpoints AS checkpoint
    SET epoch = checkpoint.epoch + 1,
        lease_owner = $3::pg_catalog.text,
        lease_expires_at = pg_catalog.clock_timestamp() + $4::double precision * interval '1 second'
    FROM free
    WHERE checkpoint.projection = free.projection AND checkpoint.lane = free.lane
    RETURNING checkpoint.position, checkpoint.epoch
)
SELECT lane.is_free, taken.position, taken.epoch, lane.lease_owner AS owner_before
FROM lane LEFT JOIN taken ON true
