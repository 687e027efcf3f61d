-- Purpose: Read where the log ends, which position was assigned last, and how far anything has read; to find what a restore
--   has lost. Positions are assigned before they are seen, so in a sound database the sequence is never behind.
-- Parameters: none
-- Result: head bigint, sequence bigint (NULL where the role may not see it), delivered bigint, ahead text[] names of the
--   projections that have read beyond the end, milestones_ahead boolean whether there are milestones there
-- Locks: none beyond ACCESS SHARE
-- Index: events_position_key; the other tables are small
SELECT
    log.head,
    CASE WHEN has_sequence_privilege('events_position_seq', 'USAGE, SELECT')
        THEN coalesce(pg_sequence_last_value('events_position_seq'), 0)
    END AS sequence,
    greatest(
        (SELECT max(position) FROM projection_checkpoints),
        (SELECT max(position) FROM projection_rebuilds),
        (SELECT max(position) FROM projection_rebuild_parts),
        (SELECT max(position) FROM projection_quarantine),
        (SELECT max(position) FROM projection_discards),
        (SELECT max(position) FROM milestones),
        (SELECT max(through_position) FROM event_seals),
        (SELECT max(position) FROM disorder_search),
        0
    ) AS delivered,
    ARRAY(
        SELECT projection FROM projection_checkpoints WHERE position > log.head
        UNION
        SELECT projection FROM projection_rebuilds WHERE position > log.head
        UNION
        SELECT projection FROM projection_rebuild_parts WHERE position > log.head
        ORDER BY projection
    ) AS ahead,
    EXISTS (SELECT FROM milestones WHERE position > log.head) AS milestones_ahead
FROM (SELECT coalesce(max(position), 0) AS head FROM events) AS log
