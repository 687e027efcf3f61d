-- Purpose: Claim the rebuild of a projection: begin it, or take over one that its process has left or has not kept alive.
--   The epoch goes up, so that whoever had it before can write no more.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code
--   $3 owner text
--   $4 lease_s double precision seconds
-- Result: version integer and position bigint of what was built so far (0: nothing), events bigint, epoch bigint; no row
--   where another process is at it
-- Locks: the row's
-- Index: projection_rebuilds_pkey
INSERT INTO projection_rebuilds AS build (projection, version, epoch, owner, expires_at)
VALUES (
    $1::text, $2::integer, 1, $3::text, clock_timestamp() + $4::double precision * interval '1 second'
)
ON CONFLICT ON CONSTRAINT projection_rebuilds_pkey DO UPDATE
SET epoch = build.epoch + 1, owner = EXCLUDED.owner, expires_at = EXCLUDED.expires_at
WHERE build.expires_at IS NULL OR build.expires_at <= clock_timestamp()
RETURNING version, position, events, epoch
