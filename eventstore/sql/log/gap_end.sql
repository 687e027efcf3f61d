-- Purpose: Find the end of a gap in the positions, so that readers pass a gap in one step.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
-- Result: position bigint the last one before the next event; $2 if there is no event up to $2
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, one entry
SELECT coalesce(
    (
        SELECT pg_catalog.min(position) - 1 FROM {schema}.events
        WHERE position > $1::bigint AND position <= $2::bigint
    ),
    $2::bigint
) AS position
