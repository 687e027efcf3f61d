-- Purpose: Take the lease of a lane, if it is free, has expired, or is this worker's already. The epoch goes up, so that
--   whoever had it before can write no more.
-- Parameters:
--   $1 projection text
--   $2 lane smallint
--   $3 owner text
--   $4 lease_s double precision seconds
-- Result: position bigint, epoch bigint; no row where another worker has it, or there is no such lane
-- Locks: the row's
-- Index: projection_checkpoints_pkey
UPDATE projection_checkpoints
SET epoch = epoch + 1,
    lease_owner = $3::text,
    lease_expires_at = clock_timestamp() + $4::double precision * interval '1 second'
WHERE projection = $1::text
    AND lane = $2::smallint
    AND (lease_expires_at IS NULL OR lease_expires_at <= clock_timestamp() OR lease_owner = $3::text)
RETURNING position, epoch
