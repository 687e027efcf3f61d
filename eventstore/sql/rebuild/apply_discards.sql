-- Purpose: Record that discarded events were folded by a rebuild, in the transaction of its swap.
-- Parameters:
--   $1 projection text
--   $2 still_left_out bigint[] positions of the events that still could not be folded
--   $3 keys text[] of these events
-- Result: position bigint of each event that was folded
-- Locks: the rows'
-- Index: projection_discards_pkey
UPDATE {schema}.projection_discards AS discard SET folded_again_at = pg_catalog.clock_timestamp()
WHERE projection = $1::pg_catalog.text
    AND folded_again_at IS NULL
    AND NOT EXISTS (
        SELECT FROM unnest($2::bigint[], $3::pg_catalog.text[]) AS out (position, key)
        WHERE out.position = discard.position AND out.key = discard.key
    )
RETURNING position
