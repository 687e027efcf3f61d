-- Purpose: Find the beginning of a gap in the positions, so that readers from the end pass a gap in one step.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
-- Result: position bigint of the last event up to $2 and after $1; $1 if there is none
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, one entry
SELECT coalesce(
    (
        SELECT pg_catalog.max(position) FROM {schema}.events
        WHERE position > $1::bigint AND position <= $2::bigint
    ),
    $1::bigint
) AS position
