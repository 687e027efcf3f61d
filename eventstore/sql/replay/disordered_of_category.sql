-- Purpose: List the streams of a category that are known to be out of order.
-- Parameters:
--   $1 category text
-- Result: stream_id uuid
-- Locks: none beyond ACCESS SHARE
-- Index: disordered_streams_category_idx
SELECT stream_id FROM {schema}.disordered_streams WHERE category = $1::pg_catalog.text
