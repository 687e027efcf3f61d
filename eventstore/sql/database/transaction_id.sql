-- Purpose: Return the id of the running transaction, to ask for its outcome if the answer to its COMMIT is lost.
-- Parameters: none
-- Result: transaction_id text, NULL if the transaction has written nothing; started_at timestamp with time zone of
--   the server: another server may use the same id for another transaction
-- Locks: none
-- Index: none
SELECT
    pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text AS transaction_id,
    pg_catalog.pg_postmaster_start_time() AS started_at
