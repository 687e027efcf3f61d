-- Purpose: Read the end of the log, the last assigned position, and the furthest position that anything has read, to
--   find events that a restore has lost. Positions are assigned before they are visible, so in a sound database the
--   sequence is never behind. Rows so far beyond it that no restore can explain them are reported separately and do
--   not count as an end.
-- Parameters: none
-- Result: head bigint, sequence bigint (NULL if the role may not see it), delivered bigint, ahead text[] names of the
--   projections that have read beyond the end, state_snapshots_ahead boolean whether there are state snapshots or
--   segments beyond the end, impossible text[] the table and the position of rows at positions that cannot have been assigned
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key; the other tables are small
WITH limits AS MATERIALIZED (
    SELECT {positions_max} AS last
),
log AS MATERIALIZED (
    SELECT coalesce(pg_catalog.max(position), 0) AS head FROM {schema}.events WHERE position <= (SELECT last FROM limits)
),
reached (relation, position) AS MATERIALIZED (
    SELECT 'projection_checkpoints', position FROM {schema}.projection_checkpoints
    UNION ALL
    SELECT 'projection_rebuilds', position FROM {schema}.projection_rebuilds
    UNION ALL
    SELECT 'projection_rebuild_shards', position FROM {schema}.projection_rebuild_shards
    UNION ALL
    SELECT 'projection_quarantine', pg_catalog.max(position) FROM {schema}.projection_quarantine
    UNION ALL
    SELECT 'projection_quarantine', pg_catalog.max(position) FROM {schema}.projection_quarantine
    WHERE position <= (SELECT last FROM limits)
    UNION ALL
    SELECT 'projection_discards', pg_catalog.max(position) FROM {schema}.projection_discards
    UNION ALL
    SELECT 'projection_discards', pg_catalog.max(position) FROM {schema}.projection_discards
    WHERE position <= (SELECT last FROM limits)
    UNION ALL
    SELECT 'state_snapshots', pg_catalog.max(position) FROM {schema}.state_snapshots
    UNION ALL
    SELECT 'state_snapshots', pg_catalog.max(position) FROM {schema}.state_snapshots WHERE position <= (SELECT last FROM limits)
    UNION ALL
    SELECT 'log_segments', pg_catalog.max(position) FROM {schema}.log_segments
    UNION ALL
    SELECT 'log_segments', pg_catalog.max(position) FROM {schema}.log_segments WHERE position <= (SELECT last FROM limits)
    UNION ALL
    SELECT 'event_seals', pg_catalog.max(through_position) FROM {schema}.event_seals
    UNION ALL
    SELECT 'event_seals', pg_catalog.max(through_position) FROM {schema}.event_seals WHERE through_position <= (SELECT last FROM limits)
    UNION ALL
    (
        SELECT 'events', position FROM {schema}.events
        WHERE position > (SELECT last FROM limits)
        ORDER BY position
        LIMIT 3
    )
)
SELECT
    log.head,
    CASE WHEN pg_catalog.has_sequence_privilege({regclass events_position_seq}::pg_catalog.oid, 'USAGE, SELECT')
        THEN coalesce(pg_catalog.pg_sequence_last_value({regclass events_position_seq}), 0)
    END AS sequence,
    greatest(
        (SELECT pg_catalog.max(position) FROM reached WHERE position <= (SELECT last FROM limits)), 0
    ) AS delivered,
    ARRAY(
        SELECT projection FROM {schema}.projection_checkpoints WHERE position > log.head
        UNION
        SELECT projection FROM {schema}.projection_rebuilds WHERE position > log.head
        UNION
        SELECT projection FROM {schema}.projection_rebuild_shards WHERE position > log.head
        ORDER BY projection
    ) AS ahead,
    EXISTS (SELECT FROM {schema}.state_snapshots WHERE position > log.head)
        OR EXISTS (SELECT FROM {schema}.log_segments WHERE position > log.head) AS state_snapshots_ahead,
    ARRAY(
        SELECT DISTINCT pg_catalog.format('%s %s', relation, position) FROM reached
        WHERE position > (SELECT last FROM limits)
        ORDER BY 1
    ) AS impossible
FROM log
