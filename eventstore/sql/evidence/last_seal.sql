-- Purpose: Read the newest seal, and the clock for the next one.
-- Parameters: none
-- Result: block bigint, through_position bigint, seal bytea (0, 0 and NULL without a seal), now timestamptz, head
--   bigint the log's last position
-- Locks: none beyond ACCESS SHARE
-- Index: event_seals_pkey, events_position_key
SELECT
    coalesce(last.block, 0) AS block, coalesce(last.through_position, 0) AS through_position, last.seal,
    pg_catalog.clock_timestamp() AS now,
    coalesce((SELECT pg_catalog.max(position) FROM {schema}.events WHERE position <= {positions_max}), 0) AS head
FROM (SELECT) AS always
LEFT JOIN (
    SELECT block, through_position, seal FROM {schema}.event_seals WHERE block >= 1 ORDER BY block DESC LIMIT 1
) AS last ON true
