-- Purpose: Take the lease of a partition, if it is free, has expired, or is this worker's already, without waiting for whoever
--   holds the row. The epoch goes up, so that whoever had it before can write no more.
-- Parameters:
--   $1 projection text
--   $2 partition smallint
--   $3 owner text
--   $4 lease_s double precision seconds
-- Result: is_free boolean (taken or not: the row may be locked), position bigint, epoch bigint (both NULL: not taken),
--   owner_before text; no row where there is no such partition
-- Locks: the row's
-- Index: projection_checkpoints_pkey
WITH partition AS (
    SELECT
        lease_owner,
        lease_expires_at IS NULL OR lease_expires_at <= pg_catalog.clock_timestamp() OR lease_owner = $3::pg_catalog.text AS is_free
    FROM {schema}.projection_checkpoints
    WHERE projection = $1::pg_catalog.text AND partition = $2::smallint
),
free AS (
    SELECT projection, partition FROM {schema}.projection_checkpoints
    WHERE projection = $1::pg_catalog.text
        AND partition = $2::smallint
        AND (lease_expires_at IS NULL OR lease_expires_at <= pg_catalog.clock_timestamp() OR lease_owner = $3::pg_catalog.text)
    FOR UPDATE SKIP LOCKED
),
taken AS (
    UPDATE {schema}.projection_checkpoints AS checkpoint
    SET epoch = checkpoint.epoch + 1,
        lease_owner = $3::pg_catalog.text,
        lease_expires_at = pg_catalog.clock_timestamp() + $4::double precision * interval '1 second'
    FROM free
    WHERE checkpoint.projection = free.projection AND checkpoint.partition = free.partition
    RETURNING checkpoint.position, checkpoint.epoch
)
SELECT partition.is_free, taken.position, taken.epoch, partition.lease_owner AS owner_before
FROM partition LEFT JOIN taken ON true
