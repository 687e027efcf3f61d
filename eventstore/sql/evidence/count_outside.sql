-- Purpose: Find events below the first position, where none can be, and count those after the last seal.
-- Parameters:
--   $1 through bigint last sealed position
-- Result: below bigint the lowest position under 1, or NULL; unsealed bigint events
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT
    (SELECT min(position) FROM events WHERE position < 1) AS below,
    (SELECT count(*) FROM events WHERE position > $1::bigint) AS unsealed
