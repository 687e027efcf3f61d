-- Purpose: Return the outcome of a transaction.
-- Parameters:
--   $1 transaction_id text as transaction_id.sql returned it
-- Result: status text: in progress, committed or aborted, NULL if the transaction is too old; started_at timestamp
--   with time zone of the server
-- Locks: none
-- Index: none
SELECT
    pg_catalog.pg_xact_status($1::pg_catalog.text::pg_catalog.xid8) AS status,
    pg_catalog.pg_postmaster_start_time() AS started_at
