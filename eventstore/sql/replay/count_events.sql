-- Purpose: Count the events of some streams, to choose how to read them.
-- Parameters:
--   $1 streams uuid[]
--   $2 limit bigint events; no more are counted
-- Result: events bigint
-- Locks: none beyond ACCESS SHARE
-- Index: events_pkey, index only
SELECT pg_catalog.count(*) AS events
FROM (SELECT FROM {schema}.events WHERE stream_id = ANY ($1::pg_catalog.uuid[]) LIMIT $2::bigint) AS counted
