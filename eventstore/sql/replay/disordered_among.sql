-- Purpose: Return those of the given streams that are known to be out of order, with the first event out of order.
-- Parameters:
--   $1 stream_ids uuid[]
-- Result: stream_id uuid, version integer
-- Locks: none beyond ACCESS SHARE
-- Index: disordered_streams_pkey
SELECT stream_id, version FROM {schema}.disordered_streams WHERE stream_id = ANY ($1::pg_catalog.uuid[])
