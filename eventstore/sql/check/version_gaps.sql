-- Purpose: Find streams whose versions are not 1, 2, 3 ... without a gap.
-- Parameters:
--   $1 limit bigint streams
-- Result: stream_id uuid, category text, events bigint, first integer, last integer
-- Locks: none beyond ACCESS SHARE
-- Index: none, all of the log is read
SELECT stream_id, pg_catalog.min(category) AS category, pg_catalog.count(*) AS events, pg_catalog.min(version) AS first, pg_catalog.max(version) AS last
FROM {schema}.events
GROUP BY stream_id
HAVING pg_catalog.min(version) <> 1 OR pg_catalog.max(version) <> pg_catalog.count(*)
ORDER BY stream_id
LIMIT $1::bigint
