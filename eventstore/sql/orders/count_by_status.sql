-- Purpose: Count the orders of each status in the read table.
-- Parameters: none
-- Result: status text, orders bigint; no row for a status without orders
-- Locks: none beyond ACCESS SHARE
-- Index: orders_status_idx, index only
SELECT status::pg_catalog.text AS status, pg_catalog.count(*) AS orders
FROM {schema}.orders
GROUP BY orders.status
ORDER BY orders.status
