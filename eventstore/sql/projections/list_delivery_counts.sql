-- Purpose: Read the delivery counts of all partitions of a projection together, by ranges of positions, without those
--   of a running rebuild.
-- Parameters:
--   $1 projection text
-- Result: range bigint, events bigint, digest bigint
-- Locks: none beyond ACCESS SHARE
-- Index: projection_delivery_counts_pkey
SELECT range, pg_catalog.sum(events)::bigint AS events, pg_catalog.bit_xor(digest) AS digest
FROM {schema}.projection_delivery_counts
WHERE projection = $1::pg_catalog.text AND partition >= 0
GROUP BY range
ORDER BY range
