-- Purpose: Put a key in quarantine, or record another failed attempt.
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
-- Index: projection_quarantine_pkey
INSERT INTO {schema}.projection_quarantine AS held (projection, key, stream_id, position, type, error, traceback)
VALUES ($1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.uuid, $4::bigint, $5::pg_catalog.text, $6::pg_catalog.text, $7::pg_catalog.text)
ON CONFLICT ON CONSTRAINT projection_quarantine_pkey DO UPDATE
SET position = EXCLUDED.position,
    stream_id = EXCLUDED.stream_id,
    type = EXCLUDED.type,
    error = EXCLUDED.error,
    traceback = EXCLUDED.traceback,
    attempts = held.attempts + 1
