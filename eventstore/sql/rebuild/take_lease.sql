-- Purpose: Take the lease to the rebuild of a projection: begin it, or take over one that its process has left or has not kept alive.
--   Nobody is waited for. The epoch goes up, so that whoever had it before can write no more.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code
--   $3 owner text
--   $4 lease_s double precision seconds
-- Result: version integer and position bigint of what was built so far (0: nothing), events bigint, epoch bigint,
--   is_comparison boolean (it was built to be compared); no row where another process is at it
-- Locks: the row's
-- Index: projection_rebuilds_pkey
WITH free AS (
    SELECT projection FROM {schema}.projection_rebuilds
    WHERE projection = $1::pg_catalog.text AND (expires_at IS NULL OR expires_at <= pg_catalog.clock_timestamp())
    FOR UPDATE SKIP LOCKED
),
taken AS (
    UPDATE {schema}.projection_rebuilds AS build
    SET epoch = build.epoch + 1,
        owner = $3::pg_catalog.text,
        expires_at = pg_catalog.clock_timestamp() + $4::double precision * interval '1 second'
    FROM free
    WHERE build.projection = free.projection
    RETURNING build.version, build.position, build.events, build.epoch, build.is_comparison
),
begun AS (
    INSERT INTO {schema}.projection_rebuilds AS build (projection, version, position, events, epoch, owner, started_at, expires_at)
    SELECT $1::pg_catalog.text, $2::integer, 0, 0, 1, $3::pg_catalog.text, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp() + $4::double precision * interval '1 second'
    -- A row that is there is not tried, since that would wait for a transaction that changes it.
    WHERE NOT EXISTS (SELECT FROM {schema}.projection_rebuilds WHERE projection = $1::pg_catalog.text)
    ON CONFLICT ON CONSTRAINT projection_rebuilds_pkey DO NOTHING
    RETURNING version, position, events, epoch, is_comparison
)
SELECT version, position, events, epoch, is_comparison FROM taken
UNION ALL
SELECT version, position, events, epoch, is_comparison FROM begun
