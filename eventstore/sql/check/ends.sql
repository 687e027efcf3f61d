-- Purpose: Read where the log ends, which position was assigned last, and how far anything has read; to find what a restore
--   has lost. Positions are assigned before they are seen, so in a sound database the sequence is never behind.
-- Parameters: none
-- Result: head bigint, sequence bigint (NULL where the role may not see it), delivered bigint, ahead text[] names of the
--   projections that have read beyond the end, milestones_ahead boolean whether there are milestones there
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key; the other tables are small
SELECT
    log.head,
    CASE WHEN pg_catalog.has_sequence_privilege({regclass events_position_seq}::pg_catalog.oid, 'USAGE, SELECT')
        THEN coalesce(pg_catalog.pg_sequence_last_value({regclass events_position_seq}), 0)
    END AS sequence,
    greatest(
        (SELECT pg_catalog.max(position) FROM {schema}.projection_checkpoints),
        (SELECT pg_catalog.max(position) FROM {schema}.projection_rebuilds),
        (SELECT pg_catalog.max(position) FROM {schema}.projection_rebuild_parts),
        (SELECT pg_catalog.max(position) FROM {schema}.projection_quarantine),
        (SELECT pg_catalog.max(position) FROM {schema}.projection_discards),
        (SELECT pg_catalog.max(position) FROM {schema}.milestones),
        (SELECT pg_catalog.max(through_position) FROM {schema}.event_seals),
        (SELECT pg_catalog.max(position) FROM {schema}.disorder_search),
        0
    ) AS delivered,
    ARRAY(
        SELECT projection FROM {schema}.projection_checkpoints WHERE position > log.head
        UNION
        SELECT projection FROM {schema}.projection_rebuilds WHERE position > log.head
        UNION
        SELECT projection FROM {schema}.projection_rebuild_parts WHERE position > log.head
        ORDER BY projection
    ) AS ahead,
    EXISTS (SELECT FROM {schema}.milestones WHERE position > log.head) AS milestones_ahead
FROM (SELECT coalesce(pg_catalog.max(position), 0) AS head FROM {schema}.events) AS log
