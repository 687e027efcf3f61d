-- Purpose: Return the latest time at which an event occurred, if that is after a time. The bounds are in sub-selects, so that the
--   planner expects few rows and not half of the table.
-- Parameters:
--   $1 after timestamp with time zone UTC; the later it is, the less is read
-- Result: last_occurred_at timestamptz, NULL if no event occurred after it
-- Locks: none beyond ACCESS SHARE
-- Index: events_lookup_brin
SELECT pg_catalog.max(occurred_at) AS last_occurred_at FROM {schema}.events
WHERE occurred_at > (SELECT $1::pg_catalog.timestamptz) AND occurred_at < (SELECT 'infinity'::pg_catalog.timestamptz)
