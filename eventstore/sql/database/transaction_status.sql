-- Purpose: Tell what became of a transaction.
-- Parameters:
--   $1 transaction_id text as transaction_id.sql returned it
-- Result: one text: in progress, committed or aborted; NULL where it is too long ago
-- Locks: none
-- Index: none
SELECT pg_catalog.pg_xact_status($1::pg_catalog.text::pg_catalog.xid8) AS status
