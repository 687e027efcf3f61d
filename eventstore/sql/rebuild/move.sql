-- Purpose: Move the checkpoint of a rebuild, if this process still holds it. Run it first in the transaction that
--   writes the rows.
-- Parameters:
--   $1 projection text
--   $2 epoch bigint
--   $3 before bigint position
--   $4 after bigint position
--   $5 events bigint the number of events folded on the way
-- Result: position bigint; no row if another process has taken it over
-- Locks: the row's, until the transaction ends
-- Index: projection_rebuilds_pkey
UPDATE {schema}.projection_rebuilds SET position = $4::bigint, events = events + $5::bigint
WHERE projection = $1::pg_catalog.text AND epoch = $2::bigint AND position = $3::bigint
RETURNING position
