-- Purpose: Read where a reader at a position continues: the event there or the last one before it, and the end of the
--   log.
-- Parameters:
--   $1 position bigint
-- Result: position bigint and event_id uuid of the last event up to there, both NULL if there is none; head bigint;
--   sequence bigint the position that was assigned last, NULL if the role may not see it
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key
SELECT
    mark.position,
    mark.event_id,
    coalesce((SELECT pg_catalog.max(position) FROM {schema}.events), 0) AS head,
    CASE WHEN pg_catalog.has_sequence_privilege({regclass events_position_seq}::pg_catalog.oid, 'USAGE, SELECT')
        THEN coalesce(pg_catalog.pg_sequence_last_value({regclass events_position_seq}), 0)
    END AS sequence
FROM (SELECT) AS one
LEFT JOIN LATERAL (
    SELECT position, event_id FROM {schema}.events WHERE position <= $1::bigint ORDER BY position DESC LIMIT 1
) AS mark ON true
