-- Purpose: Find streams whose versions are not 1, 2, 3 ... without a hole.
-- Parameters:
--   $1 limit bigint streams
-- Result: stream_id uuid, category text, events bigint, first integer, last integer
-- Locks: none beyond ACCESS SHARE
-- Index: none, all of the log is read
SELECT stream_id, min(category) AS category, count(*) AS events, min(version) AS first, max(version) AS last
FROM events
GROUP BY stream_id
HAVING min(version) <> 1 OR max(version) <> count(*)
ORDER BY stream_id
LIMIT $1::bigint
