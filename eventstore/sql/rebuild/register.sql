-- Purpose: Add the row of a rebuild that has built nothing yet, unless there is one. Its epochs begin at the
--   microseconds of the clock: no epoch is used twice, although the row is deleted when a rebuild ends.
-- Parameters:
--   $1 projection text
--   $2 version integer of the code
-- Result: none
-- Locks: the row's
-- Index: projection_rebuilds_pkey
INSERT INTO {schema}.projection_rebuilds (projection, version, position, events, epoch, started_at)
SELECT
    $1::pg_catalog.text, $2::integer, 0, 0, (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000::numeric)::bigint,
    pg_catalog.clock_timestamp()
-- If the row exists, INSERT is not tried, because it would wait for a transaction that changes the row.
WHERE NOT EXISTS (SELECT FROM {schema}.projection_rebuilds WHERE projection = $1::pg_catalog.text)
ON CONFLICT ON CONSTRAINT projection_rebuilds_pkey DO NOTHING
