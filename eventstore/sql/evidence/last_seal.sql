-- Purpose: Read the newest seal, and the clock for the next one.
-- Parameters: none
-- Result: block bigint, through_position bigint, seal bytea (0, 0 and NULL where there is none), now timestamptz
-- Locks: none beyond ACCESS SHARE
-- Index: event_seals_pkey
SELECT
    coalesce(last.block, 0) AS block, coalesce(last.through_position, 0) AS through_position, last.seal,
    pg_catalog.clock_timestamp() AS now
FROM (SELECT) AS always
LEFT JOIN (
    SELECT block, through_position, seal FROM {schema}.event_seals WHERE block >= 1 ORDER BY block DESC LIMIT 1
) AS last ON true
