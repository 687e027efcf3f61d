-- Purpose: Find the positions between which everything lies that was recorded between two moments.
-- Parameters:
--   $1 after timestamp with time zone exclusive; NULL for the beginning
--   $2 until timestamp with time zone inclusive; NULL for the end
--   $3 through bigint position, inclusive
-- Result: first bigint, last bigint (positions; NULL where nothing was recorded then)
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT min(position + 0) AS first, max(position + 0) AS last
FROM events
WHERE position + 0 <= $3::bigint
    AND recorded_at > coalesce($1::timestamptz, '-infinity') AND recorded_at <= coalesce($2::timestamptz, 'infinity')
