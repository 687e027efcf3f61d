-- Purpose: Record a key that a rebuild cannot fold.
-- Parameters:
--   $1 projection text
--   $2 key text
--   $3 stream_id uuid of the event
--   $4 position bigint of the event
--   $5 type text of the event
--   $6 error text
--   $7 traceback text
-- Result: none
-- Locks: the row's
-- Index: projection_rebuild_failures_pkey
INSERT INTO {schema}.projection_rebuild_failures (projection, key, stream_id, position, type, error, traceback)
VALUES ($1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.uuid, $4::bigint, $5::pg_catalog.text, $6::pg_catalog.text, $7::pg_catalog.text)
ON CONFLICT ON CONSTRAINT projection_rebuild_failures_pkey DO NOTHING
