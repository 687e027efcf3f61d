-- Purpose: List the positions of a block.
-- Parameters:
--   $1 after bigint position, exclusive
--   $2 through bigint position, inclusive
-- Result: positions bigint[] ascending
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key, index only
SELECT ARRAY(
    SELECT position FROM {schema}.events WHERE position > $1::bigint AND position <= $2::bigint ORDER BY position
) AS positions
