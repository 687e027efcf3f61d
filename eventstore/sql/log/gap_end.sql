-- Purpose: Find where a gap in the positions ends, so that no walk over positions goes through one step by step.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
-- Result: position bigint the last one before the next event; $2 where there is no event up to it
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, one entry
SELECT coalesce(
    (
        SELECT pg_catalog.min(position) - 1 FROM {schema}.events
        WHERE position > $1::bigint AND position <= $2::bigint
    ),
    $2::bigint
) AS position
