-- Purpose: Name the running transaction, to ask for its outcome if the answer to its COMMIT is lost.
-- Parameters: none
-- Result: one text; NULL where the transaction has written nothing
-- Locks: none
-- Index: none
SELECT pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text AS transaction_id
