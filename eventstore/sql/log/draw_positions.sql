-- Purpose: Draw positions for the events of an import, after lock_for_import.sql in the same transaction, and limit
--   how long that transaction may be idle, because readers wait for it.
-- Parameters:
--   $1 events bigint
--   $2 idle_in_transaction text with a unit, such as 1000ms
-- Result: positions bigint[] ascending; recorded_at timestamptz the database's clock as the statement began
-- Locks: none beyond the sequence's own
-- Index: none
SELECT
    pg_catalog.array_agg(pg_catalog.nextval({regclass events_position_seq})) AS positions,
    pg_catalog.statement_timestamp() AS recorded_at,
    pg_catalog.set_config('idle_in_transaction_session_timeout', $2::pg_catalog.text, true) AS idle_in_transaction
FROM pg_catalog.generate_series(1, $1::bigint)
