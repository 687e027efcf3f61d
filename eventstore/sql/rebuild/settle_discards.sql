-- Purpose: Note that discarded events were folded after all, in the transaction of a rebuild's swap.
-- Parameters:
--   $1 projection text
--   $2 still_left_out bigint[] positions of those that could not be folded this time either
-- Result: position bigint of each that was folded
-- Locks: the rows'
-- Index: projection_discards_pkey
UPDATE projection_discards SET folded_again_at = clock_timestamp()
WHERE projection = $1::text AND folded_again_at IS NULL AND NOT (position = ANY ($2::bigint[]))
RETURNING position
