-- Purpose: Find a stream whose versions are not 1, 2, 3 ... in the order of positions.
-- Parameters: none
-- Result: stream_id uuid, version integer the first that does not follow
-- Locks: none beyond ACCESS SHARE
-- Index: none, the whole log is read once
SELECT stream_id, version
FROM (
    SELECT stream_id, version, row_number() OVER (PARTITION BY stream_id ORDER BY position) AS place FROM events
) AS placed
WHERE version <> place
LIMIT 1
