-- Purpose: Count the events that a partition is given, outside its worker's own statement, in the transaction that
--   moves its checkpoint.
-- Parameters:
--   $1 projection text
--   $2 partition smallint
--   $3 ranges bigint[] one for each range of positions with events
--   $4 events bigint[] the number of events in each
--   $5 digests bigint[] the exclusive or of the digests of the events
-- Result: none
-- Locks: the rows'
-- Index: projection_delivery_counts_pkey
INSERT INTO {schema}.projection_delivery_counts AS so_far (projection, partition, range, events, digest)
SELECT $1::pg_catalog.text, $2::smallint, given.range, given.events, given.digest
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS given (range, events, digest)
ON CONFLICT ON CONSTRAINT projection_delivery_counts_pkey DO UPDATE
SET events = so_far.events + EXCLUDED.events, digest = so_far.digest # EXCLUDED.digest
