-- Purpose: Note that discarded events were folded after all, in the transaction of a rebuild's swap.
-- Parameters:
--   $1 projection text
--   $2 still_left_out bigint[] positions of those that could not be folded this time either
--   $3 keys text[] theirs
-- Result: position bigint of each that was folded
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
