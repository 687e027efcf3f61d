-- Purpose: Check whether the session may write to the table of events directly, as the owner of the store may.
-- Parameters: none
-- Result: may_insert boolean
-- Locks: none
-- Index: none
SELECT pg_catalog.has_table_privilege({regclass events}, 'INSERT') AND pg_catalog.has_sequence_privilege(
    {regclass events_position_seq}, 'USAGE'
) AS may_insert
