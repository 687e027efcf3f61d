-- What became of a transaction.
-- $1 transaction_id text  as transaction_id.sql returned it
-- Result: one column text: 'in progress', 'committed', 'aborted'; null where it is too long ago.
-- Locks: none. Index: none.
SELECT pg_xact_status($1::text::xid8)
